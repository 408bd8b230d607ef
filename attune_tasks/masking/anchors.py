"""Looking for many patterns at once: by their first bytes, all of them in one pass.

A text is looked through for the beginnings of the patterns alone, which are short and shared by many, so that the
matcher is built in a millisecond or two whatever the patterns are; what occurs is then looked for as a whole. A matcher
costs more than it saves where little is searched: there, and where there is no wheel of it, bytes.find does it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

__all__ = ["Anchors"]

_ANCHOR_BYTES: Final = 8
_WINDOW: Final = 1 << 16
"""Bytes searched at once: a text of one repeated letter gives an occurrence for each byte."""
_OPEN_WINDOW: Final = 1 << 12
_WORTH_A_MATCHER: Final = 1 << 14
"""Bytes, after which a matcher is built."""
_A_CALL: Final = 1 << 8
"""Bytes that a call counts for at the least."""
_DFA_ANCHORS: Final = 4000
"""Of more, which a secret of thousands of lines has, the quickest matcher would take hundreds of MB."""
_TRIED_AT_MOST: Final = 1000
"""Places that begin as a pattern does and go on otherwise, after which the rest counts as a beginning, too: a secret
that all but repeats itself would have its length squared."""


class Anchors:
    """The first bytes of patterns, none of them empty."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        """Take `patterns`."""
        self._patterns: dict[bytes, list[bytes]] = {}
        self.longest = 0
        """Bytes of the longest pattern."""
        for pattern in patterns:
            self._patterns.setdefault(pattern[:_ANCHOR_BYTES], []).append(pattern)
            self.longest = max(self.longest, len(pattern))
        self._anchors = sorted(self._patterns)
        self._searched = 0
        self._matcher: BytesAhoCorasick | None = None

    def candidates(self, data: bytes) -> list[bytes]:
        """Give the patterns whose first bytes occur in `data`."""
        matcher = self._matcher_for(data)
        if matcher is None:
            return [pattern for anchor in self._anchors if anchor in data for pattern in self._patterns[anchor]]
        found: set[int] = set()
        for begin in range(0, len(data), _WINDOW):
            window = data[begin : begin + _WINDOW + _ANCHOR_BYTES - 1] if len(data) > _WINDOW else data
            found.update([number for number, _, _ in matcher.find_matches_as_indexes(window, overlapping=True)])
            if len(found) == len(self._anchors):
                break
        return [pattern for number in found for pattern in self._patterns[self._anchors[number]]]

    def open_from(self, data: bytes, torn: Container[int] = ()) -> int:
        """Say from which byte on the end of `data` may be the beginning of a pattern; its length where none is.

        None begins with a byte that is in `torn`.
        """
        begin = max(0, len(data) - self.longest + 1)
        opens = self._open_anchor(data, torn)
        tried = 0
        for start, anchor in self._occurrences(data, begin):
            if start >= opens:
                break
            if start in torn:
                continue
            rest = data[start:]
            for pattern in self._patterns[anchor]:
                if len(pattern) > len(rest):
                    if tried == _TRIED_AT_MOST or pattern.startswith(rest):
                        return start
                    tried += 1
        return opens

    def _open_anchor(self, data: bytes, torn: Container[int]) -> int:
        """Say from which byte on the end of `data` is the beginning of an anchor, and not the whole of it."""
        for length in range(min(_ANCHOR_BYTES - 1, len(data)), 0, -1):
            end = data[-length:]
            at = bisect_left(self._anchors, end)
            if at < len(self._anchors) and self._anchors[at] == end:
                at += 1
            if at < len(self._anchors) and self._anchors[at].startswith(end) and len(data) - length not in torn:
                return len(data) - length
        return len(data)

    def _occurrences(self, data: bytes, begin: int) -> Iterator[tuple[int, bytes]]:
        """Yield where anchors begin in `data` from `begin` on, in order."""
        matcher = self._matcher_for(data[begin:])
        for offset in range(begin, len(data), _OPEN_WINDOW):
            window = data[offset : offset + _OPEN_WINDOW + _ANCHOR_BYTES - 1]
            if matcher is None:
                found = [(start, anchor) for anchor in self._anchors for start in _starts(window, anchor)]
            else:
                matches = matcher.find_matches_as_indexes(window, overlapping=True)
                found = [(start, self._anchors[number]) for number, start, _ in matches]
            for start, anchor in sorted(found):
                if start < _OPEN_WINDOW:
                    yield offset + start, anchor

    def _matcher_for(self, data: bytes) -> BytesAhoCorasick | None:
        """Give a matcher, once so much has been searched that it pays."""
        if self._matcher is None and self._anchors:
            self._searched += max(len(data), _A_CALL)
            if self._searched >= _WORTH_A_MATCHER:
                self._matcher = _matcher_of(self._anchors)
        return self._matcher


def _starts(data: bytes, anchor: bytes) -> Iterator[int]:
    start = data.find(anchor)
    while start >= 0:
        yield start
        start = data.find(anchor, start + 1)


def _matcher_of(anchors: list[bytes]) -> BytesAhoCorasick | None:
    try:
        from ahocorasick_rs import BytesAhoCorasick, Implementation
    except ImportError:  # no wheel for this machine: slower, and the same
        return None
    small = len(anchors) <= _DFA_ANCHORS
    return BytesAhoCorasick(anchors, implementation=Implementation.DFA if small else Implementation.ContiguousNFA)
