"""A command line as it is shown to people: without its secrets, on one line, and of a bounded length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attune_tasks.leaks.surface import Seeker

__all__ = ["shown_command"]

_CHARACTERS: Final = 300


def shown_command(arguments: Sequence[bytes], seeker: Seeker) -> str:
    """Give a command line masked; a value in it need not be one that leaked."""
    text = b" ".join(arguments).decode(errors="surrogateescape")
    # Changed and cut behind the mask: before it that would leave half a value.
    masked = " ".join(seeker.mask(text).split())
    return masked if len(masked) <= _CHARACTERS else f"{masked[:_CHARACTERS]} …"
