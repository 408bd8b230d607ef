"""What is looked for in bytes, and where it is: whole occurrences, and what may become one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attune_tasks.masking.spans import joined_spans

__all__ = ["Search"]

_ANCHOR_BYTES: Final = 8
_TRIED_AT_MOST: Final = 1000
"""Places that begin as a pattern does and go on otherwise, after which the rest counts as a beginning, too: a secret
that all but repeats itself would have its length squared."""


class Search:
    """A set of patterns. All searching is done here: for the whole of a text, and for a stream's next bytes."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        """Look for `patterns`, none of them empty."""
        self.patterns = tuple(sorted(patterns))
        self.longest = max(map(len, self.patterns), default=0)
        """Bytes."""

    def __bool__(self) -> bool:
        """Say whether there is anything to look for."""
        return bool(self.patterns)

    def runs(self, data: bytes, covered: int = 0) -> Iterator[tuple[int, int]]:
        """Yield the runs (start, end) that overlapping occurrences cover, in order.

        The first `covered` bytes count as the end of an occurrence that began before `data`.
        """
        return joined_spans(data, self.patterns, covered)

    def open_from(self, data: bytes) -> int:
        """Say from which byte on the end of `data` may be the beginning of an occurrence; its length where none is."""
        opens = len(data)
        for pattern in self.patterns:
            opens = min(opens, _open_from(data, pattern, opens))
        return opens


def _open_from(data: bytes, pattern: bytes, limit: int) -> int:
    anchor = pattern[:_ANCHOR_BYTES]
    found = data.find(anchor, max(0, len(data) - len(pattern) + 1))
    tried = 0
    while 0 <= found < limit:
        if tried == _TRIED_AT_MOST or pattern.startswith(data[found:]):
            return found
        tried += 1
        found = data.find(anchor, found + 1)
    for length in range(min(len(anchor), len(pattern) - 1), 0, -1):
        if data.endswith(pattern[:length]):
            return len(data) - length
    return len(data)
