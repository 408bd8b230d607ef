"""How many executions of an action ran at once, by what their children noted one after the other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

__all__ = ["most_at_once"]


def most_at_once(path: Path, but: Collection[int] = ()) -> int:
    """Give the most that ran at once; lines are ``+`` or ``-``, execution id and pid, written where one begins or ends.

    One that never wrote its end was killed, nobody knows when: it counts for the moment in which it began. `but` are
    executions that do not count.
    """
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    noted = [(sign, (execution_id, pid)) for sign, execution_id, pid in lines if int(execution_id) not in but]
    ended = {child for sign, child in noted if sign == "-"}
    running: set[tuple[str, str]] = set()
    most = 0
    for sign, child in noted:
        if sign == "-":
            running.discard(child)
            continue
        most = max(most, len(running) + 1)
        if child in ended:
            running.add(child)
    return most
