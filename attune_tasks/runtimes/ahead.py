"""What a program that is started ahead of its execution gets at its start, and what it is told later."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from attune_tasks.context import ExecutionContext
from attune_tasks.process import Ahead
from attune_tasks.wire import encode_variables
from attune_tasks.wire_names import parameter_variable

__all__ = ["ahead_of"]

_AT_THE_START: Final = re.compile(r"BASH|SHELLOPTS$|ENV$|LD_")
"""Variables by which something of the pack's is run, or shown, at a program's very start: not before its execution."""
_MAX_LINE: Final = 1 << 14
"""Bytes of parameters: for more of them bash takes longer than for its start."""


def ahead_of(
    context: ExecutionContext, env: Mapping[str, str], parameters: Mapping[str, Any], folder: str
) -> Ahead | None:
    """Give how a program with the environment `env` is started ahead; None: it is not.

    `parameters` are those that stand in `env`, and `folder` is the private one. The execution's id and the parameters
    are told later; TMPDIR is the next private folder, unless the pack has set another.
    """
    if context.confinement.single_use or any(map(_AT_THE_START.match, context.env)):
        return None
    own = {name: env[name] for name in ("ATTUNE_EXEC_ID", *map(parameter_variable, parameters))}
    line = encode_variables({name: os.fsencode(value) for name, value in own.items()})
    if len(line) > _MAX_LINE:
        return None
    kept = {name: value for name, value in env.items() if name not in own}
    if kept["TMPDIR"] == folder:
        del kept["TMPDIR"]
    return Ahead({**kept, "ATTUNE_STANDBY": "1"}, line)
