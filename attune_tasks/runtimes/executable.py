"""The runtime for any other program, with a shebang or compiled, which reads the secrets' line itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from attune_tasks.context import ExecutionContext
from attune_tasks.errors import StartError
from attune_tasks.process import Supervision
from attune_tasks.result import ExecutionResult
from attune_tasks.runtimes.base import run, script_of

__all__ = ["ExecutableRuntime"]

_CONTROL: Final = 3  # as the wire says
_MAGIC: Final = (b"#!", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # script; ELF; Mach-O, thin and fat


class ExecutableRuntime:
    """Runs a program as it is. Its control channel is descriptor 3."""

    name = "executable"

    def execute(self, context: ExecutionContext, supervision: Supervision | None = None) -> ExecutionResult:
        """Run the program of `context`; raise StartError where it is not executable."""
        path = script_of(context)
        _check(path)
        return run(context, [str(path)], supervision, control_number=_CONTROL)

    def describe(self) -> str:
        """Say what it runs."""
        return "any program with a shebang or ELF"


def _check(path: Path) -> None:
    if not os.access(path, os.X_OK):
        msg = f"{path} is not executable: type chmod +x {path}"
        raise StartError(msg)
    with path.open("rb") as file:
        head = file.read(4)
    if not head.startswith(_MAGIC):
        msg = f"{path} is neither a script with a shebang line (#!/…) nor a compiled program"
        raise StartError(msg)
