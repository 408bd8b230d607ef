"""What a surface is: a place where a secret could show, which is looked at while executions run and after them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from attune_tasks.leaks.rows import Row

__all__ = ["Found", "Seeker", "Surface", "Watched"]


class Found(NamedTuple):
    """A secret that stood in some bytes."""

    secret: str
    variant: str


class Seeker(Protocol):
    """Knows the values, and shows none."""

    def find(self, data: bytes) -> Sequence[Found]:
        """Give what stands in `data`, each secret and variant once."""

    def mask(self, text: str) -> str:
        """Give a text with no value in it."""


@dataclass(slots=True)
class Watched:
    """One execution that is watched."""

    execution_id: int
    task_id: str
    runtime: str
    pool_pid: int = 0
    """The process of the worker that runs it; 0 until it is known."""
    launcher_pid: int = 0
    """0 until it is known."""
    is_over: bool = False


class Surface(Protocol):
    """One surface. Raises nothing for what it can't look at: it says so in its rows."""

    name: str
    """As the table has it: ``environ``, ``broker keys``, …"""

    def begin(self) -> None:
        """Start what must listen before the executions begin, or note what is there before them."""

    def look(self, executions: Sequence[Watched]) -> None:
        """Look once, while they run: called again and again, some ten times a second."""

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Look once more after they are over, stop listening, and give the rows."""
