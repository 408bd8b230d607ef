"""Which attempts were begun, when, and on which worker: by what Redis was told of the claims."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from tests.append_only import commands
from tests.soak.chaos import Kill

__all__ = ["Begun", "attempts_begun"]

_CLAIM: Final = b":claim:"
_FIRST_LINE_SECONDS: Final = 3.0
"""Within which a child has surely written its first line, on a machine that is busy."""


class Begun(NamedTuple):
    """One attempt."""

    worker: str
    """Its name, without the host."""
    at: float
    """By the clock of Redis, which is this machine's; in seconds."""

    def may_have_no_child(self, kills: Iterable[Kill]) -> bool:
        """Say whether its worker was killed so soon afterwards that nobody can tell."""
        return any(
            kill.worker == self.worker and kill.begun - _FIRST_LINE_SECONDS <= self.at <= kill.over for kill in kills
        )


def attempts_begun(redis: Path) -> dict[int, dict[int, Begun]]:
    """Give them by execution id and number; `redis` is the server's folder.

    One that was begun twice counts by its first time: the answer to that was lost on its way.
    """
    records: dict[int, dict[bytes, bytes]] = defaultdict(dict)
    found: dict[int, dict[int, Begun]] = defaultdict(dict)
    for words in commands(redis):
        if words[0].upper() != b"HSET" or _CLAIM not in words[1]:
            continue
        execution_id = int(words[1].rpartition(b":")[2])
        told = dict(zip(words[2::2], words[3::2], strict=True))
        record = records[execution_id]
        record |= told
        if told.get(b"state") == b"begun":
            worker = record[b"worker"].decode().partition("@")[0]
            found[execution_id].setdefault(int(record[b"attempt"]), Begun(worker, int(told[b"begun"]) / 1000))
    return found
