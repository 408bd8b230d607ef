"""One line of the table, and what all of them come to: which hold, which misses are known, the exit code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["KNOWN_MISSES", "Row", "exit_code", "known_misses", "unknown_cases", "verdict"]

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


def known_misses(path: Path = KNOWN_MISSES) -> dict[str, str]:
    """Give the reason for each miss that is known, by case. Raises ValueError where one has no reason."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    for case, reason in table.items():
        if not isinstance(reason, str) or not reason.strip():
            msg = f'{path}: the known miss "{case}" has no reason: write "{case}" = "why it misses"'
            raise ValueError(msg)
    return table


def verdict(row: Row, known: Mapping[str, str]) -> str:
    """Say in a few words how a row did."""
    if row.goal is None:
        return "no goal"
    if not row.holds:
        return f"misses; known: {known[row.case]}" if row.case in known else "MISSES"
    return "holds again: take it off known_misses.toml" if row.case in known else "holds"


def exit_code(rows: Sequence[Row], known: Mapping[str, str]) -> int:
    """Give 1 where a row misses whose miss is not known, else 0."""
    return int(any(not row.holds and row.case not in known for row in rows))


def unknown_cases(rows: Sequence[Row], known: Mapping[str, str]) -> list[str]:
    """Give the known misses that are no row's, once all rows are there: a case has been renamed, or is gone."""
    return sorted(set(known) - {row.case for row in rows})
