"""How long it took, from what befell executions until nothing of them was left: said at the end of a run."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["KillTime", "kill_time", "kill_times"]


class KillTime(NamedTuple):
    """One event, and what followed."""

    event: str
    pool: str
    seconds: float


_measured: Final[list[KillTime]] = []


def kill_time(event: str, pool: str, seconds: float) -> None:
    """Note how many seconds after an event the last process and the last folder were gone."""
    _measured.append(KillTime(event, pool, seconds))


def kill_times() -> list[KillTime]:
    """Give what was noted in this process, the longest last."""
    return sorted(_measured, key=lambda entry: entry.seconds)
