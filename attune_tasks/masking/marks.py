"""What stands in place of a secret: a text that can be part of none, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain, count

__all__ = ["mark_for"]


def mark_for(patterns: Collection[bytes]) -> str:
    """Give ``***``; other characters where that could complete a pattern.

    An occurrence that takes in part of a mask begins in it, ends in it, or holds it whole. So where no pattern begins
    or ends with the character or holds it three times in a row, masked output holds no pattern after one pass.
    """
    for char in chain("*#=~", map(chr, count(0x2588))):  # U+2588 and on: blocks and geometric shapes
        data = char.encode()
        if not any(pattern.startswith(data) or pattern.endswith(data) or data * 3 in pattern for pattern in patterns):
            return char * 3
    raise AssertionError  # pragma: no cover - patterns are finitely many
