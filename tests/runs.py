"""Short ways to run code in each runtime, for tests."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attune_tasks.confinement import Confinement
from attune_tasks.context import ExecutionContext
from attune_tasks.ids import new_execution_id
from attune_tasks.process import Launchers, Supervision
from attune_tasks.result import ExecutionResult
from attune_tasks.runtimes import get_runtime

__all__ = ["LAUNCHERS", "RUNTIMES", "language", "run_script"]

RUNTIMES: Final = ("python", "python-exec", "shell", "executable")
"""Python actions twice: as forks of a launcher, and in fresh interpreters."""
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
    runtime, _, isolation = runtime.partition("-")
    path = folder / f"{name}{_SUFFIX[runtime]}"
    path.write_text(text)
    if runtime == "executable":
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    filled = ExecutionContext(
        execution_id=execution_id or new_execution_id(),
        action_ref="tests.action",
        code_path=path,
        secrets=secrets or {},
        **{"timeout": 30.0, "confinement": Confinement(isolation="exec" if isolation else "fork"), **context},
    )
    return get_runtime(runtime).execute(filled, supervision or Supervision(launchers=LAUNCHERS))
