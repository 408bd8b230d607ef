"""The runtime for Python actions: ``run(params)``, or plain code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from attune_tasks.context import ExecutionContext
from attune_tasks.errors import RuntimeUnavailableError
from attune_tasks.process import Supervision
from attune_tasks.result import ExecutionResult
from attune_tasks.runtimes.base import CHILD, inline_context, run, script_of
from attune_tasks.wire import encode_secrets

__all__ = ["PythonRuntime"]

_START: Final = str(CHILD / "python_start.py")


class PythonRuntime:
    """Runs Python in a fork of the pack's launcher, or in a fresh interpreter; both are isolated (``python -I``)."""

    name = "python"

    def __init__(self, interpreter: str | None = None) -> None:
        """Use `interpreter`, a path; default: the worker's own."""
        self._interpreter = interpreter or sys.executable

    def generate_wrapper_script(self, context: ExecutionContext) -> str:  # noqa: ARG002 - the public name; see below
        """Give the text of the program which runs an action. It holds nothing of `context`: that comes by pipes."""
        return (CHILD / "attune_child.py").read_text()

    def execute(self, context: ExecutionContext, supervision: Supervision | None = None) -> ExecutionResult:
        """Run the script or the inline code of `context`."""
        line = encode_secrets(context.secrets)
        path = None if context.code is not None else str(script_of(context))
        told = {
            "secrets_bytes": len(line),
            "parameters": dict(context.parameters),
            "code": context.code,
            "path": path,
            "lib": f"{context.pack_path}/lib" if context.pack_path else None,
        }
        # UTF-8 mode, as in Python 3.15 and later: a script does not fail to print for the locale of its worker.
        argv = [self._interpreter, "-I", "-X", "utf8", _START, *([path] if path else [])]
        return run(
            context,
            argv,
            supervision,
            parameters_in_env=False,
            wrapper_input=json.dumps(told).encode() + b"\n",
            secrets_line=line,
            interpreter=self._interpreter,
        )

    def execute_python_code(
        self,
        code: str,
        secrets: Mapping[str, str],
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> ExecutionResult:
        """Run inline `code` with `secrets`; `timeout` in seconds. The output is not masked."""
        return self.execute(inline_context("inline.python", code, secrets, env, timeout))

    def describe(self) -> str:
        """Give interpreter and version."""
        return version_line(self.name, [self._interpreter, "-I", "-V"])


def version_line(name: str, command: list[str]) -> str:
    """Give the first line that a program prints of its version, with its path.

    Raises RuntimeUnavailableError where it does not answer within five seconds.
    """
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        msg = f"the runtime {name!r} needs {command[0]}, which does not run: {type(error).__name__}"
        raise RuntimeUnavailableError(msg) from None
    first = (done.stdout or done.stderr).decode(errors="replace").partition("\n")[0]
    return f"{first} ({command[0]})"
