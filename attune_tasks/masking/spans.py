"""Where patterns occur in bytes: every occurrence, overlapping ones too, in linear time for each pattern."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["joined_spans", "spans_of"]

_STRIDE: Final = 4096  # bytes compared at once along a repetition


def joined_spans(data: bytes, patterns: Iterable[bytes], covered: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the runs (start, end) of `data` that occurrences of `patterns` cover, in order.

    Overlapping occurrences are one run; occurrences that only touch are two. The first `covered` bytes are the end of
    an occurrence that began before `data`.
    """
    spans = sorted(span for pattern in patterns for span in spans_of(data, pattern))
    if covered:
        spans.insert(0, (0, covered))
    if not spans:
        return
    start, end = spans[0]
    for next_start, next_end in spans[1:]:
        if next_start < end:
            end = max(end, next_end)
        else:
            yield start, end
            start, end = next_start, next_end
    yield start, end


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
