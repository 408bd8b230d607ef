"""Where patterns occur in bytes: every occurrence, overlapping ones too, in linear time for each pattern."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

__all__ = ["Run", "Span", "joined_spans", "spans_of"]

_STRIDE: Final = 4096  # bytes compared at once along a repetition


class Span(NamedTuple):
    """What one occurrence covers. Spans sort by where they begin, the longest first."""

    start: int
    minus_end: int
    name: str


class Run(NamedTuple):
    """What overlapping occurrences cover."""

    start: int
    end: int
    name: str
    """Of the occurrence that begins first; of several that begin there, the longest one's."""


def joined_spans(spans: Iterable[Span], covered: int = 0) -> Iterator[Run]:
    """Yield the runs that `spans` cover, in order. Overlapping ones are one run; those that only touch are two.

    The first `covered` bytes are the end of an occurrence that began before; its run has no name.
    """
    start, end, name = 0, covered, ""
    for span in sorted(spans):
        if span.start < end:
            end = max(end, -span.minus_end)
            continue
        if end:
            yield Run(start, end, name)
        start, end, name = span.start, -span.minus_end, span.name
    if end:
        yield Run(start, end, name)


def spans_of(data: bytes, pattern: bytes) -> Iterator[tuple[int, int]]:
    """Yield spans (start, end) which together cover exactly what the occurrences of `pattern` in `data` cover.

    Where `pattern` repeats itself (``aaaa``, ``abab``), the occurrences in one repetition are given as one span: one
    by one they would cost the square of its length. Otherwise two occurrences lie over half a pattern apart, so that
    looking again from the byte after each start stays linear.
    """
    found = data.find(pattern)
    if found < 0:
        return
    period = _short_period(pattern)
    unit = pattern[-period:] if period else b""
    stretch = unit * max(1, _STRIDE // len(unit)) if unit else b""
    while found >= 0:
        end = found + len(pattern)
        if period:
            for piece in (stretch, unit):
                while data.startswith(piece, end):
                    end += len(piece)
        yield found, end
        found = data.find(pattern, end - len(pattern) + 1)


def _short_period(pattern: bytes) -> int:
    """Give the smallest shift, up to half its length, by which `pattern` fits on itself; 0 where there is none.

    The first place where the pattern's first half occurs again is that shift, if there is one: an earlier place would
    give the whole a smaller period (Fine and Wilf's theorem on words with two periods).
    """
    half = (len(pattern) + 1) // 2
    shift = pattern.find(pattern[:half], 1)
    return shift if shift > 0 and pattern.startswith(pattern[shift:]) else 0
