"""What was found: a row for each surface and runtime. It can be shown to anybody: it holds no value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Hit", "Row", "Verdict", "row_of"]

Verdict = Literal["clean", "LEAK", "not looked at"]


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a secret stood."""

    secret: str
    """Its name."""
    variant: str
    """How it stood there: ``plain``, ``base64``, ``hex``, …"""
    where: str
    """The place, in words that hold no value: ``/proc/71/environ of bash, variable KEY``."""
    program: str = ""
    """The command line of the program that showed it, masked, where there is one."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one surface for one runtime."""

    surface: str
    runtime: str
    """``python``, ``shell``, …; empty for a surface that all executions share."""
    verdict: Verdict
    why: str = ""
    """Why it was not looked at, and what to do about it; of a clean one: what was not seen of it."""
    hits: tuple[Hit, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return asdict(self)


def row_of(surface: str, runtime: str, hits: Iterable[Hit], *, not_looked_at: str = "") -> Row:
    """Judge one surface: a hit is a leak whatever else was not seen; `not_looked_at` says why nothing was."""
    found = tuple(dict.fromkeys(hits))
    if found:
        return Row(surface, runtime, "LEAK", not_looked_at, found)
    return Row(surface, runtime, "not looked at" if not_looked_at else "clean", not_looked_at)
