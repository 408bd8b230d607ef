"""Naming a program to people, without its secrets."""

from __future__ import annotations

from typing import Final

from attune_tasks.leaks.processes.texts import arguments_of
from attune_tasks.leaks.surface import Seeker

__all__ = ["program_of"]

_CHARACTERS: Final = 300


def program_of(pid: int, seeker: Seeker) -> str:
    """Give a process's command line, masked and of a bounded length; nothing where it has ended."""
    text = b" ".join(arguments_of(pid)).decode(errors="surrogateescape")
    # Changed and cut behind the mask: before it that would leave half a value.
    masked = " ".join(seeker.mask(text).split())
    return masked if len(masked) <= _CHARACTERS else f"{masked[:_CHARACTERS]} …"
