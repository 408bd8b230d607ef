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
from attune_tasks.runtimes.python import version_line
from attune_tasks.runtimes.shell import find_bash

__all__ = ["ExecutableRuntime"]

# subprocess can pass a descriptor on only under its own number, and the wire says 3: bash moves it there.
_MOVE_CONTROL: Final = (
    'if [[ $ATTUNE_CONTROL_FD != 3 ]]; then exec 3>&"$ATTUNE_CONTROL_FD" {ATTUNE_CONTROL_FD}>&-; fi;'
    ' ATTUNE_CONTROL_FD=3; unset OLDPWD SHLVL; exec -- "$0"'
)
_MAGIC: Final = (b"#!", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # script; ELF; Mach-O, thin and fat


class ExecutableRuntime:
    """Runs a program as it is. Its control channel is descriptor 3."""

    name = "executable"

    def __init__(self, bash: str = "bash") -> None:
        """Use `bash` for the start, a path or a name on PATH."""
        self._bash = bash

    def execute(self, context: ExecutionContext, supervision: Supervision | None = None) -> ExecutionResult:
        """Run the program of `context`; raise StartError where it is not executable."""
        path = script_of(context)
        _check(path)
        bash = find_bash(self.name, self._bash)
        return run(context, [bash, "--noprofile", "--norc", "-c", _MOVE_CONTROL, str(path)], supervision)

    def describe(self) -> str:
        """Give the shell that starts programs."""
        return "any program with a shebang or ELF, started by " + version_line(
            self.name, [find_bash(self.name, self._bash), "--version"]
        )


def _check(path: Path) -> None:
    if not os.access(path, os.X_OK):
        msg = f"{path} is not executable: type chmod +x {path}"
        raise StartError(msg)
    with path.open("rb") as file:
        head = file.read(4)
    if not head.startswith(_MAGIC):
        msg = f"{path} is neither a script with a shebang line (#!/…) nor a compiled program"
        raise StartError(msg)
