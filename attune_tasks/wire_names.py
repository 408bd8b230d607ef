"""Names in the environment that shell and executable actions get their parameters by. See docs/wire-protocol.md."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["PARAMETER_PREFIX", "dotenv_name", "is_variable_text", "parameter_variable"]

PARAMETER_PREFIX: Final = "ATTUNE_ACTION_"

_OTHER: Final = re.compile(r"[^A-Za-z0-9_]")


def parameter_variable(name: str) -> str:
    """Give the variable that carries the parameter `name`: upper case, each character but A-Z, 0-9 and _ becomes _."""
    return PARAMETER_PREFIX + _OTHER.sub("_", name).upper()


def dotenv_name(name: str) -> str:
    """Give the name of the parameter `name` in a dotenv file: each character that a shell's names lack becomes _."""
    plain = _OTHER.sub("_", name)
    return plain if plain[:1].isalpha() else f"_{plain}"


def is_variable_text(text: object) -> bool:
    """Say whether an environment variable, and a shell, can carry `text`: no NUL and no lone surrogate."""
    return isinstance(text, str) and "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
