"""The child's environment, built from nothing. The worker's own is not inherited."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from typing import Any, Final

from attune_tasks.context import DEFAULT_PATH, ExecutionContext
from attune_tasks.errors import ParametersTooLargeError
from attune_tasks.process import user_entry
from attune_tasks.runtimes.parameters import variable_text
from attune_tasks.wire import WIRE_VERSION
from attune_tasks.wire_names import parameter_variable

__all__ = ["child_environment", "worker_locale"]

# locale(7): the categories that a program may be told by the environment
_FROM_WORKER: Final = frozenset(
    (
        *("LANG", "TZ", "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MONETARY", "LC_MESSAGES"),
        *("LC_PAPER", "LC_NAME", "LC_ADDRESS", "LC_TELEPHONE", "LC_MEASUREMENT", "LC_IDENTIFICATION"),
    )
)

# Linux takes 128 KiB in one string and a quarter of the stack (2 MiB) in all (execve(2)); these leave room.
_MAX_VARIABLE: Final = 100 * 1024
_MAX_TOTAL: Final = 1024 * 1024


def child_environment(context: ExecutionContext, parameters: Mapping[str, Any], temp_folder: str) -> dict[str, str]:
    """Give the whole environment of one child: a minimal one, `parameters` as variables, then the context's own.

    Raises ParametersTooLargeError or InvalidParametersError, naming the parameter, where the kernel would refuse it.
    """
    variables = {parameter_variable(name): variable_text(name, value) for name, value in parameters.items()}
    way_out = f"set `parameter_delivery: stdin` in the metadata of {context.action_ref}"
    _check_sizes({name: variables[parameter_variable(name)] for name in parameters}, "parameter", way_out)
    _check_sizes(context.env, "variable", "hand it over as a parameter")
    return {
        "PATH": DEFAULT_PATH,
        "HOME": _home(context.confinement.run_as),
        **{name: value for name in _FROM_WORKER if (value := os.environ.get(name)) is not None},
        "TMPDIR": temp_folder,
        **context.env,
        "ATTUNE_EXEC_ID": str(context.execution_id),
        "ATTUNE_ACTION": context.action_ref,
        "ATTUNE_WIRE": WIRE_VERSION,
        **variables,
    }


def worker_locale() -> tuple[tuple[str, str], ...]:
    """Give those variables of the worker, by name, which say what characters bytes are."""
    return tuple((name, os.environ[name]) for name in ("LANG", "LC_ALL", "LC_CTYPE") if name in os.environ)


def _check_sizes(texts: Mapping[str, str], kind: str, way_out: str) -> None:
    total = 0
    for name, text in texts.items():
        size = len(text.encode())
        total += size
        if size > _MAX_VARIABLE or total > _MAX_TOTAL:
            limit = "100 KiB for one variable" if size > _MAX_VARIABLE else "1 MiB for all of them"
            msg = f"the {kind} {name!r} is too large for the environment ({limit}): {way_out}"
            raise ParametersTooLargeError(msg)


def _home(user: str | None) -> str:
    """Give the home of `user`; None: the worker's HOME, else what the user database says; / where it has neither."""
    if user is not None:
        return user_entry(user).pw_dir
    try:
        return os.environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/"
