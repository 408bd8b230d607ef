"""In which forms a secret is looked for where it must not stand."""

from __future__ import annotations

from typing import Final

__all__ = ["forms_of"]

_SHORTEST: Final = 4
_SHORTEST_NUMBER: Final = 6
_WORDS: Final = frozenset({"true", "false", "null", "none", "undefined"})


def forms_of(value: str) -> tuple[str, ...]:
    """Give the forms of one value: itself, and each of its lines. None of them is too short to be masked."""
    forms = [value]
    if "\n" in value:
        forms += [line.strip("\r") for line in value.split("\n")]
    return tuple(form for form in forms if not _is_common(form))


def _is_common(text: str) -> bool:
    """Say whether a text stands in others by chance."""
    if len(text) < _SHORTEST or text.isspace():
        return True
    return (len(text) < _SHORTEST_NUMBER and text.isdigit()) or text.lower() in _WORDS
