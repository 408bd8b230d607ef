"""For the tests of applications and of packs: catch what is enqueued, answer it, run an action without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attune_tasks._celery import capturing
from attune_tasks._celery.capturing import Enqueued
from attune_tasks.context import ExecutionRequest
from attune_tasks.ids import new_execution_id
from attune_tasks.result import ExecutionResult, Status

__all__ = ["Enqueued", "captured", "fake_result", "run_local"]


@contextmanager
def captured() -> Iterator[list[Enqueued]]:
    """Record what is enqueued, by any app and in any thread, and run none of it.

    ``enqueue``, ``run_action.delay`` and ``run_action.apply_async`` are caught; ``app.send_task`` is not. Inside
    another ``captured()`` the inner one records. A handle has no result unless :func:`fake_result` gives it one: its
    ``result()`` raises ResultTimeoutError at once.
    """
    calls: list[Enqueued] = []
    capturing.start(calls)
    try:
        yield calls
    finally:
        capturing.stop(calls)


@contextmanager
def fake_result(  # noqa: PLR0913 - what a result has
    ref: str,
    result: Any = None,
    *,
    status: Status = "succeeded",
    stdout: str = "",
    stderr: str = "",
    exit_code: int | None = None,
    error: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Answer the executions of `ref` that are enqueued meanwhile, within :func:`captured` or without it.

    `exit_code` is 0 by default for succeeded and 1 for failed. `error` is ``{"type": …, "message": …}``; one is made
    up for every other status than succeeded. The innermost answer for a ref counts.
    """
    if exit_code is None:
        exit_code = {"succeeded": 0, "failed": 1}.get(status)
    if error is None and status != "succeeded":
        error = {"type": status, "message": f"{ref} was made to end as {status} by a test"}
    fields = {"result": result, "stdout": stdout, "stderr": stderr, "exit_code": exit_code, "error": error}
    answer = capturing.Answer(ref, status, fields)
    capturing.start(answer)
    try:
        yield
    finally:
        capturing.stop(answer)


def run_local(
    ref: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    packs: str | Path | Iterable[str | Path],
    secrets: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> ExecutionResult:
    """Run an action in this process: no broker, no provider, and no settings but the defaults.

    `packs` are one or more folders; `secrets` are values by the name under which the action declares them. What goes
    wrong is in the result. Raises PackError for broken packs.
    """
    from attune_tasks._celery.local_secrets import LiteralSecrets
    from attune_tasks.executor import ActionExecutor
    from attune_tasks.known_packs import load_packs
    from attune_tasks.settings import LoadedSettings, Settings

    folders = [packs] if isinstance(packs, str | Path) else packs
    settings = Settings(packs=tuple(Path(folder).absolute() for folder in folders))
    registry = load_packs(LoadedSettings(settings, {"packs": "argument"}))
    executor = ActionExecutor(registry, LiteralSecrets(secrets or {}), settings)
    return executor.execute(ExecutionRequest(new_execution_id(), ref, parameters or {}, timeout=timeout))
