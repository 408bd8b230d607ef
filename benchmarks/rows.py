"""One line of the table, and what all of them come to: which hold, which misses are known, the exit code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["KNOWN_MISSES", "KnownMiss", "Row", "exit_code", "known_misses", "unknown_cases", "verdict"]

KNOWN_MISSES = Path(__file__).parent / "known_misses.toml"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    case: str
    against: str
    ratio: float
    """Ours divided by what it is measured against."""
    goal: float | None
    """None: watched, and never a miss."""
    at_least: bool = False
    """Whether more is better; then `case` says so, for results/latest.json has no other place for it."""

    @property
    def holds(self) -> bool:
        """Whether the goal is met; by the figure as it was measured, not as it is shown."""
        if self.goal is None:
            return True
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal

    def as_dict(self) -> dict[str, Any]:
        """Give the entry for results/latest.json."""
        return {
            "case": self.case,
            "against": self.against,
            "ratio": round(self.ratio, 4),
            "goal": self.goal,
            "holds": self.holds,
        }


@dataclass(frozen=True)
class KnownMiss:
    """Why a row misses its goal, and by how much it may."""

    up_to: float
    """The worst ratio that is known; beyond it, something has become worse."""
    why: str

    def covers(self, row: Row) -> bool:
        """Say whether a row that misses is no worse than is known."""
        return row.ratio >= self.up_to if row.at_least else row.ratio <= self.up_to


def known_misses(path: Path = KNOWN_MISSES) -> dict[str, KnownMiss]:
    """Give the misses that are known, by case. Raises ValueError where one has no bound, or no reason."""
    found = {}
    for case, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
        match entry:
            case {"up_to": float(up_to), "why": str(why), **rest} if why.strip() and not rest:
                found[case] = KnownMiss(up_to, why)
            case _:
                msg = f'{path}: the known miss "{case}" has no bound or no reason: ["{case}"], up_to = 1.5, why = "…"'
                raise ValueError(msg)
    return found


def verdict(row: Row, known: Mapping[str, KnownMiss]) -> str:
    """Say in a few words how a row did."""
    if row.goal is None:
        return "no goal"
    miss = known.get(row.case)
    if not row.holds:
        if miss is None:
            return "MISSES"
        return f"misses; known: {miss.why}" if miss.covers(row) else f"MISSES by more than the known {miss.up_to:g}"
    return "holds" if miss is None else "holds this time, a known miss"


def exit_code(rows: Sequence[Row], known: Mapping[str, KnownMiss]) -> int:
    """Give 1 where a row misses whose miss is not known, or by more than is known, else 0."""
    return int(any(not row.holds and not (row.case in known and known[row.case].covers(row)) for row in rows))


def unknown_cases(rows: Sequence[Row], known: Mapping[str, KnownMiss]) -> list[str]:
    """Give the known misses that are no row's, once all rows are there: a case has been renamed, or is gone."""
    return sorted(set(known) - {row.case for row in rows})
