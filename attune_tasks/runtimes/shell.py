"""The runtime for shell actions: bash, 4.4 or newer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cache
from typing import Final

from attune_tasks.context import ExecutionContext
from attune_tasks.errors import RuntimeUnavailableError
from attune_tasks.process import Supervision
from attune_tasks.result import ExecutionResult
from attune_tasks.runtimes.base import CHILD, inline_context, run, script_of
from attune_tasks.runtimes.python import version_line
from attune_tasks.wire import encode_secrets

__all__ = ["ShellRuntime", "find_bash"]

_WRAPPER: Final = CHILD / "shell_wrapper.bash"
_SOURCE: Final = '. "$1"'
_CLOSE_CODE: Final = "exec 201<&-;"  # on the first line of inline code, so that its line numbers stay


class ShellRuntime:
    """Runs bash scripts, which get their secrets by ``get_secret``."""

    name = "shell"

    def __init__(self, bash: str = "bash") -> None:
        """Use `bash`, a path or a name on PATH."""
        self._bash = bash

    def generate_wrapper_script(self, context: ExecutionContext) -> str:  # noqa: ARG002 - the public name; see below
        """Give the text of the program which runs an action. It holds nothing of `context`: that comes by pipes."""
        return _WRAPPER.read_text()

    def execute(self, context: ExecutionContext, supervision: Supervision | None = None) -> ExecutionResult:
        """Run the script or the inline code of `context`."""
        line = encode_secrets(context.secrets)
        name = "bash" if context.code is not None else str(script_of(context))
        # `bash -c` with a fixed text, so that $0 is the script's path.
        bash = find_bash(self.name, self._bash)
        argv = [
            bash,
            "--noprofile",
            "--norc",
            "-c",
            _SOURCE,
            name,
            str(_WRAPPER),
            str(len(line)),
        ]
        return run(
            context,
            argv,
            supervision,
            wrapper_input=(_CLOSE_CODE + context.code).encode() if context.code is not None else None,
            secrets_line=line,
            # In the C locale the line is bytes, and bash starts and parses in two thirds of the time; without SHELL it
            # would look itself up in the user database.
            shell=bash,
            ahead=context.code is None,
        )

    def execute_shell_code(
        self,
        code: str,
        secrets: Mapping[str, str],
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> ExecutionResult:
        """Run inline `code` with `secrets`; `timeout` in seconds. The output is not masked."""
        return self.execute(inline_context("inline.shell", code, secrets, env, timeout))

    def describe(self) -> str:
        """Give bash's version; its wrapper refuses one older than 4.4."""
        return version_line(self.name, [find_bash(self.name, self._bash), "--version"])


@cache
def find_bash(runtime: str, bash: str) -> str:
    """Find `bash`, a path or a name on PATH, for a runtime. Raises RuntimeUnavailableError."""
    path = shutil.which(bash)
    if path is None:
        msg = f"the runtime {runtime!r} needs bash 4.4 or newer, and there is no {bash!r} on PATH"
        raise RuntimeUnavailableError(msg)
    return path
