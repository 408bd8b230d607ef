"""Short ways to run code in each runtime, for tests."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from attune_tasks.confinement import Confinement
from attune_tasks.context import ExecutionContext
from attune_tasks.ids import new_execution_id
from attune_tasks.process import Launchers, Supervision
from attune_tasks.result import ExecutionResult
from attune_tasks.runtimes import get_runtime
from tests.processes import children

__all__ = ["LAUNCHERS", "RUNTIMES", "language", "run_script", "stands_by", "waiting_program"]

RUNTIMES: Final = ("python", "python-exec", "shell", "shell-standby", "executable")
"""Python actions twice: as forks of a launcher, and in fresh interpreters. Shell actions twice: in a bash that is
started when it is needed, and in one that was started ahead, wherever that can be: see :func:`stands_by`."""
_SUFFIX: Final = {"python": ".py", "shell": ".sh", "executable": ""}
LAUNCHERS: Final = Launchers()


def language(runtime: str) -> str:
    """Give the name of the runtime itself: ``python`` of ``python-exec``."""
    return runtime.partition("-")[0]


def run_script(  # noqa: PLR0913 - a test names what it needs
    runtime: str,
    folder: Path,
    text: str,
    secrets: Mapping[str, str] | None = None,
    *,
    supervision: Supervision | None = None,
    name: str = "action",
    execution_id: int | None = None,
    **context: Any,
) -> ExecutionResult:
    """Write `text` as an action's script into `folder`, run it, and give its result. Nothing is masked here."""
    runtime, _, variant = runtime.partition("-")
    path = folder / f"{name}{_SUFFIX[runtime]}"
    path.write_text(text)
    if runtime == "executable":
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    filled = ExecutionContext(
        execution_id=execution_id or new_execution_id(),
        action_ref="tests.action",
        code_path=path,
        secrets=secrets or {},
        **{"timeout": 30.0, "confinement": Confinement(isolation="exec" if variant == "exec" else "fork"), **context},
    )
    supervision = supervision or Supervision(launchers=LAUNCHERS)
    if variant == "standby" and supervision.launchers is not None and can_stand_by(filled):
        with _written(path, "true\n"):
            stands_by(filled, supervision.launchers)
    return get_runtime(runtime).execute(filled, supervision)


def can_stand_by(context: ExecutionContext) -> bool:
    """Say whether a shell action's bash can be started ahead: in a private folder, and without bounds."""
    return context.working_dir is None and not context.confinement.limits.by_resource()


def stands_by(context: ExecutionContext, launchers: Launchers) -> bool:
    """Run a shell action until the program of its next execution waits; give whether there is one."""
    for _ in range(10):  # a busy machine may be too slow for a burst
        result = get_runtime("shell").execute(replace(context, timeout=30.0), Supervision(launchers=launchers))
        assert result.status == "succeeded", result
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            if (pid := waiting_program(launchers)) and b"ATTUNE_STANDBY" in Path(f"/proc/{pid}/environ").read_bytes():
                return True
            if not launchers._idle or launchers._idle[-1].standby._pipes is None:
                break
            time.sleep(0.001)
    return False


def waiting_program(launchers: Launchers) -> int:
    """Give the pid of what waits in the launcher that was used last; 0: nothing does."""
    pids = children(launchers._idle[-1].pid) if launchers._idle else []
    return pids[0] if pids else 0


@contextmanager
def _written(path: Path, text: str) -> Iterator[None]:
    """Have another text in a file for a while."""
    kept = path.read_text()
    path.write_text(text)
    yield
    path.write_text(kept)
