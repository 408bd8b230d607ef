"""What is looked for in bytes, and where it is: whole occurrences, and what may become one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attune_tasks.masking.anchors import Anchors
from attune_tasks.masking.encodings import SHORTEST_ENCODED
from attune_tasks.masking.joined_lines import BREAK_BYTES, JoinedLines
from attune_tasks.masking.spans import Run, Span, joined_spans, spans_of
from attune_tasks.masking.variants import Variants

__all__ = ["Search"]


class Search:
    """The variants of secrets. All searching is done here: for the whole of a text, and for a stream's next bytes."""

    def __init__(self, variants: Mapping[str, Variants]) -> None:
        """Look for `variants`, by the name of the secret. A variant of two secrets is the first one's."""
        self._exact: dict[bytes, str] = {}
        self._broken: dict[bytes, str] = {}
        for name, found in variants.items():
            for kind, patterns in ((self._exact, found.exact), (self._broken, found.broken)):
                for pattern in patterns:
                    kind.setdefault(pattern, name)
            for pattern in found.broken:
                if len(pattern) > SHORTEST_ENCODED:
                    # What goes on behind a line break that comes after its first byte, see JoinedLines.torn.
                    self._broken.setdefault(pattern[1:], name)
        self._exact_anchors = Anchors(self._exact)
        self._broken_anchors = Anchors(self._broken)
        self._longest_broken = max(0, self._broken_anchors.longest * (1 + BREAK_BYTES) - BREAK_BYTES)
        self.longest = max(self._exact_anchors.longest, self._longest_broken)
        """Bytes that an occurrence covers, at the most."""

    @property
    def patterns(self) -> frozenset[bytes]:
        """What is looked for."""
        return frozenset(self._exact) | frozenset(self._broken)

    def __bool__(self) -> bool:
        """Say whether there is anything to look for."""
        return bool(self._exact)

    def runs(self, data: bytes, covered: int = 0) -> Iterator[Run]:
        """Yield the runs that overlapping occurrences cover, in order.

        The first `covered` bytes count as the end of an occurrence that began before `data`.
        """
        spans = [
            Span(start, -end, self._exact[pattern])
            for pattern in self._exact_anchors.candidates(data)
            for start, end in spans_of(data, pattern)
        ]
        if self._broken and (candidates := self._broken_anchors.candidates(data.translate(None, b"\r\n"))):
            joined = JoinedLines(data)
            spans += [
                Span(
                    joined.original(start + (start in joined.torn)),
                    -joined.original(end - 1) - 1,
                    self._broken[pattern],
                )
                for pattern in candidates
                for start, end in spans_of(joined.data, pattern)
            ]
        return joined_spans(spans, covered)

    def open_from(self, data: bytes) -> int:
        """Say from which byte on the end of `data` may be the beginning of an occurrence; its length where none is."""
        opens = self._exact_anchors.open_from(data)
        if self._broken:
            begin = max(0, len(data) - self._longest_broken)
            joined = JoinedLines(data[begin:])
            position = self._broken_anchors.open_from(joined.data, joined.torn)
            if position < len(joined.data):
                opens = min(opens, begin + joined.original(position))
        return opens

    def names_in(self, data: bytes) -> frozenset[str]:
        """Give the names of the secrets of which `data` holds a variant."""
        exact = self._exact_anchors.candidates(data)
        found = {self._exact[pattern] for pattern in exact if pattern in data}
        if self._broken and (candidates := self._broken_anchors.candidates(data.translate(None, b"\r\n"))):
            joined = JoinedLines(data).data
            found |= {self._broken[pattern] for pattern in candidates if pattern in joined}
        return frozenset(found)
