"""What a launcher says: lines of text. It runs as the action's user, and may say anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Said", "parse_line"]

_MAX_DIGITS: Final = 9
"""Of a number that a launcher says: pids have 7 at most, wait statuses 5."""


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a launcher, which the reader has to check."""

    word: str
    number: int = 0
    rest: str = ""

    def left_behind(self) -> list[tuple[int, int]]:
        """Give pid and uid of each process that could not be killed."""
        pairs = [pair.partition(":") for pair in self.rest.split(",")]
        return [
            (int(pid), -1 if uid == "-1" else int(uid))
            for pid, _, uid in pairs
            if len(pid) <= _MAX_DIGITS >= len(uid) and pid.isdecimal() and (uid.isdecimal() or uid == "-1")
        ]


def parse_line(line: bytes) -> Said:
    """Read one line, whatever it is."""
    word, _, rest = line.decode(errors="replace").partition(" ")
    first, _, last = rest.partition(" ")
    number = int(first) if first.isdecimal() and len(first) <= _MAX_DIGITS else 0
    return Said(word, number, last if last and first.isdecimal() else rest)
