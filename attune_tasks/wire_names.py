"""Names in the environment that shell and executable actions get their parameters by. See docs/wire-protocol.md."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["PARAMETER_PREFIX", "parameter_variable"]

PARAMETER_PREFIX: Final = "ATTUNE_ACTION_"

_OTHER: Final = re.compile(r"[^A-Za-z0-9_]")


def parameter_variable(name: str) -> str:
    """Give the variable that carries the parameter `name`: upper case, each character but A-Z, 0-9 and _ becomes _."""
    return PARAMETER_PREFIX + _OTHER.sub("_", name).upper()
