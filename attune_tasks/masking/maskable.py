"""What is worth masking: short and common texts would occur by chance, and ruin every output."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["SHORTEST", "is_maskable"]

SHORTEST: Final = 4
"""Characters of a text that is masked, at the least."""

_COMMON: Final = frozenset(
    ["true", "false", "null", "none", "nil", "nan", "undefined", "yes", "no", "on", "off", "enabled", "disabled"]
)
_FEW_DIGITS: Final = re.compile(r"[0-9]{1,5}")


def is_maskable(text: str) -> bool:
    """Say whether `text` is masked: not where it is short, a common word, up to five digits, or all white space."""
    return (
        len(text) >= SHORTEST
        and not text.isspace()
        and not _FEW_DIGITS.fullmatch(text)
        and text.strip().lower() not in _COMMON
    )
