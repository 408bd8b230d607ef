"""What a runtime is, and what all of them share: the way from a context to a child and back to a result."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from attune_tasks.context import ExecutionContext
from attune_tasks.errors import StartError
from attune_tasks.ids import new_execution_id
from attune_tasks.process import (
    CONTROL_NUMBER,
    MAX_DEPTH,
    Launcher,
    Launchers,
    LauncherSpec,
    Outcome,
    Program,
    Supervision,
    fault_of,
    run_program,
)
from attune_tasks.result import ExecutionResult, Status
from attune_tasks.runtimes.ahead import ahead_of
from attune_tasks.runtimes.environment import child_environment, worker_locale
from attune_tasks.runtimes.parameters import format_parameters
from attune_tasks.wire import encode_secrets

__all__ = ["CHILD", "Runtime", "run"]

CHILD: Final = Path(__file__).parent / "_child"
"""Where the children's side of the built-in runtimes is."""
_LOST: Final = (
    "the launcher that had started the action was ended, by the action itself or from outside; so was all below it"
)
_LAPSED: Final = "its worker did not renew its claim on it, and another one may run it: the action was killed"
_OURS: Final = ("-", str(CHILD))
_ENTRY: Final = str(CHILD / "attune_child.py")
_FAULTS: Final = {
    "result_too_large": "the result is larger than 1 MiB: print it or store it",
    "result_too_deep": f"the result is nested more than {MAX_DEPTH} levels deep",
    "result_not_json": "the result is not JSON: no NaN, no infinity, no lone surrogate, quotes escaped",
}


class Runtime(Protocol):
    """A plugin which runs one language. Registered under the entry point group ``attune_tasks.runtimes``."""

    name: str

    def execute(self, context: ExecutionContext, supervision: Supervision | None = None) -> ExecutionResult:
        """Run one execution to its end. Usually a call of :func:`run`."""

    def describe(self) -> str:
        """Give program and version in one line; raise RuntimeUnavailableError where it can't run here."""


def run(  # noqa: PLR0913 - the optional ones are named
    context: ExecutionContext,
    argv: Sequence[str],
    supervision: Supervision | None = None,
    *,
    parameters_in_env: bool = True,
    wrapper_input: bytes | None = None,
    secrets_line: bytes | None = None,
    shell: str | None = None,
    control_number: int = CONTROL_NUMBER,
    interpreter: str | None = None,
    ahead: bool = False,
) -> ExecutionResult:
    """Run `argv` as the child of an execution: secrets' line on its standard input, minimal environment, own session.

    This is all that most runtimes need. `argv` begins with a program's absolute path, and must hold nothing of the
    context but the script's path. `parameters_in_env` sets ``ATTUNE_ACTION_<NAME>``; `wrapper_input` is written to the
    pipe ``ATTUNE_PARAMS_FD``; `secrets_line` is the encoded line where the caller has made it already;
    `shell` sets ``SHELL`` and ``LC_ALL=C``, with ``ATTUNE_LC_ALL`` to set back; `control_number` is the descriptor
    ``ATTUNE_CONTROL_FD``. With `interpreter`, the Python of the action, the child is a fork of a launcher of that
    interpreter wherever one can be had. With `ahead`, the program can be started ahead of its execution
    (docs/wire-protocol.md says what it does then). Output is masked only where `supervision` brings a filter: the
    executor's does.
    """
    stdin = secrets_line or encode_secrets(context.secrets)
    by_stdin = context.parameter_delivery == "stdin"
    if by_stdin:
        stdin += format_parameters(context.parameters, context.parameter_format)
    in_env = context.parameters if parameters_in_env and not by_stdin else {}
    supervision = supervision or Supervision()
    if supervision.guard is not None:
        supervision.guard.check_arguments(
            argv, lambda text: text.startswith(_OURS) or text in {argv[0], str(context.script_path())}
        )
    confinement = context.confinement
    with _launcher(context, supervision, interpreter) as launcher:
        env = child_environment(context, in_env, launcher.folder)
        if shell is not None:
            env = {
                "SHELL": shell,
                **env,
                **({"ATTUNE_LC_ALL": env["LC_ALL"]} if "LC_ALL" in env else {}),
                "LC_ALL": "C",
            }
        if supervision.guard is not None:
            legacy = context.legacy_variables
            own = {name: value for name, value in env.items() if name not in legacy} if legacy else env
            supervision.guard.check_environment(own)
        forked = interpreter is not None and confinement.isolation == "fork" and launcher.unforkable is None
        program = Program(
            argv=None if forked else argv,
            env=env,
            stdin=stdin,
            wrapper_input=wrapper_input,
            working_dir=str(context.working_dir) if context.working_dir else None,
            control_number=control_number,
            limits=confinement.limits.by_resource(),
            dumpable=confinement.dumpable,
            ahead=ahead_of(context, env, in_env, launcher.folder) if ahead else None,
        )
        name = f"execution {context.execution_id} of {context.action_ref}"
        outcome = run_program(launcher, program, supervision, context.timeout, name)
    return _result(context, outcome)


@contextmanager
def _launcher(context: ExecutionContext, supervision: Supervision, interpreter: str | None) -> Iterator[Launcher]:
    """Give a launcher for an execution: one of the operator's, else one of its own."""
    confinement = context.confinement
    spec = LauncherSpec(
        name=context.action_ref.partition(".")[0],
        interpreter=interpreter or sys.executable,
        pack=str(context.pack_path or ""),
        content=context.pack_content,
        entry=_ENTRY,
        preload=confinement.preload,
        library=f"{context.pack_path}/lib" if context.pack_path else None,
        run_as=confinement.run_as,
        locale=worker_locale(),
    )
    own = Launchers() if supervision.launchers is None else None
    try:
        with (own or supervision.launchers or Launchers()).launcher(
            spec, single_use=confinement.single_use
        ) as launcher:
            yield launcher
    finally:
        if own is not None:
            own.close()


def inline_context(
    action_ref: str, code: str, secrets: Mapping[str, str], env: Mapping[str, str] | None, timeout: float | None
) -> ExecutionContext:
    """Give the context of inline `code` which is no action of a pack."""
    return ExecutionContext(
        execution_id=new_execution_id(),
        action_ref=action_ref,
        code=code,
        secrets=secrets,
        env=env or {},
        timeout=timeout,
    )


def script_of(context: ExecutionContext) -> Path:
    """Give the script of a context; raise StartError where there is none to run."""
    path = context.script_path()
    if path is None or not path.is_file():
        msg = f"{context.action_ref}: the script {path or '(none given)'} is not a file"
        raise StartError(msg)
    return path


def _result(context: ExecutionContext, outcome: Outcome) -> ExecutionResult:
    value = outcome.control.result
    code = outcome.return_code
    status, error = _judge(outcome)
    if status == "succeeded" and not outcome.control.has_result:
        if outcome.control.result_fault is not None:
            status, error = "failed", _unusable(outcome.control.result_fault)
        elif context.output_format == "json":
            value, error = _json_of(outcome)
            status = "failed" if error else status
    return ExecutionResult(
        execution_id=context.execution_id,
        action_ref=context.action_ref,
        status=status,
        exit_code=code if code is not None and code >= 0 else None,
        signal=_signal_name(-code) if code is not None and code < 0 else None,
        error=error,
        duration_ms=outcome.duration_ms,
        left_behind=outcome.left_behind,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
        stdout_truncated=outcome.stdout_truncated,
        stderr_truncated=outcome.stderr_truncated,
        result=value,
        stdout=outcome.stdout,
        stderr=outcome.stderr,
    )


def _judge(  # noqa: PLR0911 - a line for each way to end
    outcome: Outcome,
) -> tuple[Status, Mapping[str, str] | None]:
    if outcome.timed_out:
        return "timed_out", {"type": "timed_out", "message": "the action ran longer than its timeout and was ended"}
    if outcome.cancelled:
        return "cancelled", {"type": "cancelled", "message": "the execution was cancelled"}
    if outcome.lapsed:
        return "error", {"type": "claim_lost", "message": _LAPSED}
    if outcome.return_code is None:
        return "error", {"type": "launcher_lost", "message": _LOST}
    if outcome.return_code == 0 and outcome.control.error is None:
        return "succeeded", None
    if outcome.control.error is not None:
        return "failed", outcome.control.error
    if outcome.return_code < 0:
        name = _signal_name(-outcome.return_code)
        return "failed", {"type": "killed_by_signal", "message": f"the action was ended by {name}"}
    return "failed", {"type": "nonzero_exit", "message": f"the action ended with exit code {outcome.return_code}"}


def _unusable(fault: str) -> Mapping[str, str]:
    return {"type": fault, "message": _FAULTS[fault]}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between SIGRTMIN and SIGRTMAX
        return f"SIG{number}"


def _json_of(outcome: Outcome) -> tuple[Any, Mapping[str, str] | None]:
    if outcome.raw_stdout is None:
        return None, {"type": "output_not_json", "message": "stdout is larger than what is kept of it"}
    try:
        value = json.loads(outcome.raw_stdout)
    except (ValueError, RecursionError):
        message = "`output_format: json` is set, but stdout is not one JSON value"
        return None, {"type": "output_not_json", "message": message}
    fault = fault_of(value)
    return (None, _unusable(fault)) if fault else (value, None)
