"""The nearest known names to one that was mistyped, for error texts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest", "nearest_names"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the name in `known` which `name` was most likely meant to be; None where none is near."""
    return next(iter(nearest_names(name, known)), None)


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Give up to `count` names in `known` that are near to `name`, the nearest first; case does not count."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(known, reverse=True)}
    return [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, n=count)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give ``; did you mean X?`` to end an error's text with, or nothing."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""
