"""A text with its line breaks taken out, and where each byte of it was: base64 is broken into lines of any length."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

__all__ = ["BREAK_BYTES", "JoinedLines"]

BREAK_BYTES: Final = 2
"""Bytes of a line break, at the most."""

_BREAK: Final = re.compile(rb"(?<![\r\n])[\r\n]{1,2}(?![\r\n])")
"""One line break, or an empty line's two. More in a row stay: what is held back of a stream has to have an end."""


class JoinedLines:
    """`data` without single line breaks."""

    def __init__(self, data: bytes) -> None:
        """Take them out."""
        pieces = []
        self._starts: list[int] = []
        """Where in the joined text each piece but the first begins."""
        self._taken: list[int] = [0]
        """Bytes taken out in front of each piece."""
        position = 0
        for found in _BREAK.finditer(data):
            start, end = found.span()
            pieces.append(data[position:start])
            self._starts.append(start - self._taken[-1])
            self._taken.append(self._taken[-1] + end - start)
            position = end
        self.data = b"".join((*pieces, data[position:])) if pieces else data
        self.torn = frozenset(start - 1 for start in self._starts)
        """Bytes that a line break follows. No occurrence begins with one: else of each line that ends as something
        encoded begins, which some do by chance, the end would be held back."""

    def original(self, position: int) -> int:
        """Say where the byte at `position` was."""
        return position + self._taken[bisect_right(self._starts, position)]
