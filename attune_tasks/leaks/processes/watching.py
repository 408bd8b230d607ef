"""Which processes belong to the executions: looked up once per look, for all surfaces that look at processes."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from attune_tasks import proc
from attune_tasks.leaks.processes.texts import name_of
from attune_tasks.leaks.surface import Watched

__all__ = ["Processes", "Role", "Seen"]

Role: TypeAlias = Literal["main", "pool", "launcher", "action", "other"]
_TOLD: Final[dict[Role, str]] = {
    "main": "the main process",
    "pool": "the pool process",
    "launcher": "the launcher",
    "action": "of the action",
    "other": "below the pool process",
}
_KINDS: Final[dict[Role, str]] = {
    **_TOLD,
    "action": "the action's processes",
    "other": "others below the pool process",
}
_AT_MOST: Final = 400
"""Processes below one, after which the others are not looked at."""
_BETWEEN_STRAYS: Final = 1.0
"""Seconds between two looks at the processes of the whole machine."""


class Seen(NamedTuple):
    """One process."""

    pid: int
    role: Role
    executions: tuple[Watched, ...]
    """Those to which it belongs; several where a worker's process ran one after the other."""

    def __str__(self) -> str:
        """Name it for people, without anything that it calls itself."""
        return f"{name_of(self.pid)} (pid {self.pid}, {_TOLD[self.role]})"

    @property
    def told(self) -> str:
        """Say what kind of process it is."""
        return _KINDS[self.role]

    @property
    def part(self) -> str:
        """Say which part of the worker it is; nothing where it is of the action itself."""
        return "" if self.role == "action" else _TOLD[self.role]


class Processes:
    """Knows the processes of the present look. For one thread."""

    def __init__(self) -> None:
        """Know none yet."""
        self._served: set[int] | None = None
        self._now: list[Seen] = []
        self._begun = proc.started(os.getpid()) or 0
        self._strays: dict[int, tuple[int | None, int]] = {}
        self._next_strays = 0.0
        self.too_many = False
        """Whether there were more than are looked at."""

    def of(self, surface: object, executions: Sequence[Watched]) -> list[Seen]:
        """Give the processes, looked up anew if this surface has been given those of the last look.

        So each surface asks once per look, and the first one makes them be looked up.
        """
        if self._served is None or id(surface) in self._served:
            self._served = set()
            self._now = self._look(executions)
        self._served.add(id(surface))
        return self._now

    def _look(self, executions: Sequence[Watched]) -> list[Seen]:
        # This process holds the values, and what it has started looks for them.
        theirs = {pid for each in executions for pid in (each.main_pid, each.pool_pid, each.launcher_pid)}
        own = {os.getpid(), *proc.tree(os.getpid(), _AT_MOST, theirs)}
        found: dict[int, tuple[Role, dict[int, Watched]]] = {}
        for role, pid, execution in self._parts(executions, own, found):
            if pid and pid not in own:
                found.setdefault(pid, (role, {}))[1][execution.execution_id] = execution
        return [Seen(pid, role, tuple(of.values())) for pid, (role, of) in found.items()]

    def _parts(
        self, executions: Sequence[Watched], own: set[int], found: Container[int]
    ) -> Iterator[tuple[Role, int, Watched]]:
        """Give each process, in the order in which they are looked for; `found` are those that were given so far."""
        for execution in executions:
            yield "main", execution.main_pid, execution
            yield "pool", execution.pool_pid, execution
            if execution.launcher_pid:
                yield "launcher", execution.launcher_pid, execution
                for pid in self._below(execution.launcher_pid, own):
                    yield "action", pid, execution
        for stray, execution in self._strays_of(executions):
            if stray not in found:
                for pid in (stray, *self._below(stray, own)):
                    yield "action", pid, execution
        for execution in executions:
            for pid in self._below(execution.pool_pid, own) if execution.pool_pid else ():
                if pid not in found:
                    yield "other", pid, execution

    def _below(self, root: int, own: set[int]) -> list[int]:
        found = proc.tree(root, _AT_MOST, own)
        self.too_many |= len(found) >= _AT_MOST
        return found

    def _strays_of(self, executions: Sequence[Watched]) -> Iterator[tuple[int, Watched]]:
        """Give what is below no launcher any more, and still carries the execution's id in its environment."""
        of = {execution.execution_id: execution for execution in executions}
        now = time.monotonic()
        if now >= self._next_strays:
            self._next_strays = now + _BETWEEN_STRAYS
            for process in proc.processes():
                if process.is_zombie:
                    continue
                started = proc.started(process.pid)
                if started is not None and started >= self._begun and (found := _id_in(process.pid)):
                    self._strays[process.pid] = started, found
        for pid, (started, execution_id) in list(self._strays.items()):
            if proc.started(pid) != started:
                del self._strays[pid]
            elif execution_id in of:
                yield pid, of[execution_id]


def _id_in(pid: int) -> int:
    for entry in proc.read(pid, "environ") or ():
        name, _, value = entry.partition(b"=")
        if name == b"ATTUNE_EXEC_ID" and value.isdigit():
            return int(value)
    return 0
