"""What a surface is: a place where a secret could show, which is looked at while executions run and after them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from attune_tasks.leaks.rows import Row

__all__ = ["OVERLAP", "Found", "Seeker", "Surface", "Watched"]

OVERLAP: Final = 128 << 10
"""Bytes that two pieces share of what is searched piece by piece. The longest form of a value has six times its length
(``\\u0001`` in JSON), so values of up to 21 KiB are found across a border."""


class Found(NamedTuple):
    """A secret that stood in some bytes."""

    execution_id: int
    """Whose secret it is. Where several executions have the same value, each of them is found."""
    secret: str
    variant: str


class Seeker(Protocol):
    """Knows the values, and shows none."""

    @property
    def longest(self) -> int:
        """Give how many bytes one of their forms covers at the most."""

    def find(self, data: bytes) -> Sequence[Found]:
        """Give what stands in `data`, each once."""

    def mask(self, text: str) -> str:
        """Give a text with no value in it."""


@dataclass(slots=True)
class Watched:
    """One execution that is watched."""

    execution_id: int
    task_id: str
    runtime: str
    """As the table has it: ``python``, ``python (exec)``, ``shell``, …"""
    main_pid: int = 0
    """The worker's main process; 0 where there is none: the execution runs in a process of the user's own."""
    pool_pid: int = 0
    """The process that runs it: below the main process, or the same one where the pool is threads or solo; 0 until it
    is known."""
    launcher_pid: int = 0
    """0 until it is known."""
    is_over: bool = False
    core_dumps: int = 0
    """How many crashed processes of it dumped core, as the kernel told the execution itself: one of our own actions."""


class Surface(Protocol):
    """One surface. Raises nothing for what it can't look at: it says so in its rows."""

    name: str
    """As the table has it: ``environ``, ``broker keys``, …"""

    def begin(self) -> None:
        """Start what must listen before the executions begin, or note what is there before them."""

    def look(self, executions: Sequence[Watched]) -> None:
        """Look once, while they run: called again and again, some ten times a second, in one thread."""

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Look once more after they are over, stop listening, and give a row for each runtime."""
