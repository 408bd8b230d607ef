"""The client's side of a check: finds a worker, has executions run there by the check's queue, and gets the rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from celery import Celery

from attune_tasks._celery.asking_workers import ask_workers
from attune_tasks._celery.control_names import LEAK_CHECK
from attune_tasks._celery.enqueueing import enqueue
from attune_tasks._celery.handle import Handle
from attune_tasks.errors import AttuneTasksError, ResultTimeoutError
from attune_tasks.ids import new_execution_id, task_id_of
from attune_tasks.leaks import Row
from attune_tasks.result import ExecutionResult

__all__ = ["CheckOptions", "CheckResult", "RemoteCheck", "find_worker"]

_ANSWER_SECONDS: Final = 10.0
_READY_SECONDS: Final = 30.0
_END_SECONDS: Final = 300.0
_PAUSE: Final = 0.2
_WORD_SECONDS: Final = 30.0
"""Between two words to the scanner, which ends two minutes after the last."""
_LOOK_SECONDS: Final = 0.5
"""Between two questions about an execution that ends when it was looked at."""
_CONTROL_SECONDS: Final = 2
"""For which a message is looked at that leaks on purpose."""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What is looked at besides."""

    own_redis: bool = False
    flower: str | None = None
    vault_audit_log: str | None = None
    file_seconds: float = 30.0
    """For a walk through all files that have changed, at the end."""
    asks_vault: bool = False
    """Whether secrets are fetched, so that something of them could stand there."""
    runs_ref: bool = False
    """Whether it is an action of the user's that is looked at: other advice fits that one."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a check."""

    rows: tuple[Row, ...]
    ignored: tuple[str, ...]
    """Names of secrets too short to be told from chance, which were not looked for."""
    without_canary: tuple[str, ...] = ()
    """Runtimes of the worker for which there is no canary action."""

    @property
    def leaks(self) -> tuple[Row, ...]:
        """The rows with a leak."""
        return tuple(row for row in self.rows if row.verdict == "LEAK")


def find_worker(app: Celery, named: str | None = None, timeout: float = 2.0) -> str:
    """Give the name of the worker that takes part. Raises AttuneTasksError where there is none, or more than one."""
    asked = None if named is None else [named]
    enough = (lambda _: True) if named else (lambda _: False)
    answers = ask_workers(app, LEAK_CHECK, {"op": "ask"}, timeout=timeout, workers=asked, is_enough=enough)
    willing = sorted(name for name, answer in answers.items() if "refused" not in answer)
    if len(willing) == 1:
        return willing[0]
    if willing:
        msg = f"several workers take part: name one by --worker: {', '.join(willing)}"
    elif answers:
        reasons = "; ".join(f"{name}: {answer['refused']}" for name, answer in sorted(answers.items()))
        msg = f"no worker takes part: {reasons}; set leak_check.enabled = true where it runs, and start it again"
    else:
        msg = f"no worker answered within {timeout:g} s" + (f" by the name {named}" if named else "")
    raise AttuneTasksError(msg)


class RemoteCheck:
    """One check on one worker, as a context: it ends, and leaves nothing, however it is left."""

    def __init__(self, app: Celery, worker: str, options: CheckOptions) -> None:
        """Begin nothing yet."""
        self._app = app
        self._worker = worker
        self._options = options
        self._queue = ""
        self.canaries: list[tuple[str, str]] = []
        """Ref and runtime of each canary action that the worker has."""
        self.controls: list[tuple[str, list[str]]] = []
        """Ref of each action that leaks on purpose, and the surfaces that must catch it."""

    def __enter__(self) -> Self:
        """Have the scanner started. Raises AttuneTasksError."""
        options = self._options
        told = self._ask(
            "begin",
            own_redis=options.own_redis,
            flower=options.flower,
            vault_audit_log=options.vault_audit_log,
            file_seconds=options.file_seconds,
            asks_vault=options.asks_vault,
            runs_ref=options.runs_ref,
        )
        self._queue = str(told["queue"])
        try:
            ready = self._wait_for("ready", _READY_SECONDS)
        except BaseException:
            self._close()
            raise
        self.canaries = [(str(each["ref"]), str(each["runtime"])) for each in ready["canaries"]]
        self.controls = [(str(each["ref"]), list(map(str, each["surfaces"]))) for each in ready["controls"]]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Have the worker clean up."""
        self._close()

    def run(  # noqa: PLR0913 - what is run, with what, and how long it is waited for
        self,
        ref: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        real: bool = False,
        refs: Mapping[str, str] | None = None,
        timeout: float | None = None,
        meanwhile: Callable[[Mapping[str, float]], None] | None = None,
    ) -> ExecutionResult:
        """Run one action while it is looked at, and wait for its end.

        It gets canaries for its secrets; with `real` the secrets themselves; and what `refs` names, secret name to
        reference, is fetched. `meanwhile` is told, some times a second, by surface of memory when the last look began
        (time.monotonic() of the worker's host) that went through all of it. Raises AttuneTasksError, and
        ResultTimeoutError.
        """
        execution_id = new_execution_id()
        ids = {"execution_id": str(execution_id), "task_id": task_id_of(execution_id)}
        self._ask("watch", ref=ref, real=real, refs=dict(refs or {}), **ids)
        handle = enqueue(ref, parameters, queue=self._queue, execution_id=execution_id, app=self._app)
        result = self._result_of(handle, timeout, meanwhile)
        value = result.result
        dumps = value.get("core_dumps") if isinstance(value, Mapping) else 0
        self._ask("over", execution_id=ids["execution_id"], core_dumps=dumps if isinstance(dumps, int) else 0)
        return result

    def send_control(self, number: int, label: str, timeout: float, seconds: int = _CONTROL_SECONDS) -> str:
        """Have a control sent whose message leaks, and wait for its end; give what went wrong with it, if anything.

        It stays for `seconds`, of which the worker takes 60 at most. Raises AttuneTasksError.
        """
        fault = ""
        sent = self._ask("send", number=number, label=label, seconds=seconds)
        if sent["runs"]:
            result = self._result_of(Handle(self._app.AsyncResult(str(sent["task_id"]))), timeout)
            fault = result.error["message"] if result.error else ""
        else:
            time.sleep(seconds)
        self._ask("over", execution_id=str(sent["execution_id"]))
        return fault

    def end(self) -> CheckResult:
        """Have the rest looked at, and give what was found."""
        self._ask("end")
        told = self._wait_for("done", _END_SECONDS)
        try:
            rows = tuple(map(Row.from_dict, told["rows"]))
        except (KeyError, TypeError, AttributeError):
            msg = f"{self._worker} answered in a form that this version does not know: use one version on both sides"
        else:
            return CheckResult(rows, tuple(map(str, told["ignored"])), tuple(map(str, told["without_canary"])))
        raise AttuneTasksError(msg)

    def _result_of(
        self,
        handle: Handle,
        timeout: float | None,
        meanwhile: Callable[[Mapping[str, float]], None] | None = None,
    ) -> ExecutionResult:
        """Wait for the end, and meanwhile let the scanner know that somebody does: else it would end itself."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        pause = _WORD_SECONDS if meanwhile is None else _LOOK_SECONDS
        while True:
            left = max(0.0, deadline - time.monotonic())
            try:
                return handle.result(min(left, pause))
            except ResultTimeoutError:
                if left <= pause:
                    raise
            told = self._ask("poll", execution_id=str(handle.execution_id))
            if meanwhile is not None:
                meanwhile({str(name): float(begun) for name, begun in told.get("gone_through", {}).items()})

    def _wait_for(self, phase: str, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            told = self._ask("poll")
            if told.get("phase") == phase:
                return told
            time.sleep(_PAUSE)
        msg = f"leak-check on {self._worker} was not {phase} within {seconds:g} s: look into the worker's log"
        raise AttuneTasksError(msg)

    def _ask(self, op: str, **more: Any) -> dict[str, Any]:
        answers = ask_workers(
            self._app,
            LEAK_CHECK,
            {"op": op, **more},
            timeout=_ANSWER_SECONDS,
            workers=[self._worker],
            is_enough=lambda _: True,
        )
        for answer in answers.values():
            if "refused" not in answer:
                return dict(answer)
            msg = f"{self._worker}: {answer['refused']}"
            break
        else:
            msg = f"{self._worker} did not answer within {_ANSWER_SECONDS:g} s: is it busy in a solo pool?"
        raise AttuneTasksError(msg)

    def _close(self) -> None:
        try:
            self._ask("close")
        except AttuneTasksError:
            return  # it ends by itself, two minutes after the last word
