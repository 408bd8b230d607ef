"""The surfaces of memory: that of launchers, and that of a worker's main process. Neither ever holds a secret."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attune_tasks import proc
from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.processes.memory import Chunk, chunks_of
from attune_tasks.leaks.processes.tables import closed_to_us
from attune_tasks.leaks.processes.texts import is_zombie
from attune_tasks.leaks.processes.watching import Processes, Role, Seen
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import Seeker, Watched

__all__ = ["MemorySurface"]

_SECONDS: Final = 0.04
"""Spent per look: the memory is gone through in pieces, for else the other surfaces would see little."""
_LAST_SECONDS: Final = 60.0
"""Spent at the end on each process."""
_FIRST_PAUSE: Final = 0.3
"""Seconds after the first time that a memory was gone through; then twice that, and so on."""
_LONGEST_PAUSE: Final = 10.0


class MemorySurface:
    """Goes through the memory of the processes of one role, again and again, and at the end."""

    def __init__(self, name: str, role: Role, seeker: Seeker, processes: Processes) -> None:
        """`role` is ``launcher`` or ``main``."""
        self.name = name
        self._role = role
        self._findings = Findings(name, seeker)
        self._processes = processes
        self._walks: dict[int, _Walk] = {}
        self._of: list[int] = []
        self._begun: set[str] = set()
        self._whole: set[str] = set()
        self._whole_in_time: set[str] = set()
        """Of which the whole was gone through while executions ran."""
        self._closed: dict[str, str] = {}
        self.gone_through: dict[int, float] = {}
        """By execution, when the last look began that went through the whole: time.monotonic()."""

    def begin(self) -> None:
        """Nothing listens here."""

    def look(self, executions: Sequence[Watched]) -> None:
        """Go on where the last look stopped, and begin anew with other executions: they have other secrets."""
        of = [execution.execution_id for execution in executions]
        if of != self._of:
            self._of = of
            self._walks.clear()
        until = time.monotonic() + _SECONDS
        for process in self._its(executions):
            self._whole_in_time |= self._go_on(process, until)
        self._whole |= self._whole_in_time

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Go through all that is left of it, once more."""
        for process in self._its(executions):
            self._walks.pop(process.pid, None)
            self._whole |= self._go_on(process, time.monotonic() + _LAST_SECONDS)
            if process.pid in self._walks and self._walks[process.pid].chunks is not None:
                self._findings.partly(f"the memory of {process} is too big to be looked at as a whole")
        for runtime in dict.fromkeys(execution.runtime for execution in executions):
            if runtime in self._closed:
                # Though it may have been open once: a launcher is, in its first milliseconds, and holds nothing then.
                self._findings.not_looked_at(self._closed[runtime], runtime)
            elif runtime in self._begun - self._whole:
                self._findings.partly("it ended before all of its memory was looked at", runtime)
            elif runtime not in self._whole:
                self._findings.not_looked_at(self._why_not(executions, runtime), runtime)
            elif runtime not in self._whole_in_time:
                self._findings.partly("there was time for all of it at the end only, not while they ran", runtime)
        return list(self._findings.rows(executions))

    def _its(self, executions: Sequence[Watched]) -> Iterator[Seen]:
        for process in self._processes.of(self, executions):
            if process.role == self._role:
                # A main process that runs the actions itself holds their secrets while it does.
                apart = any(each.pool_pid not in {0, each.main_pid} for each in process.executions)
                if apart or self._role != "main":
                    yield process

    def _go_on(self, process: Seen, until: float) -> set[str]:
        """Go on for a while; give the runtimes for which all of it has been looked at with that."""
        walk = self._walks.setdefault(process.pid, _Walk())
        walk.begin_if_due(process.pid, {execution.execution_id for execution in process.executions})
        while walk.chunks is not None and time.monotonic() < until:
            try:
                chunk = next(walk.chunks, None)
            except OSError:
                if not is_zombie(process.pid):
                    why = closed_to_us([process.told])
                    self._closed |= {execution.runtime: why for execution in process.executions}
                walk.pause()
                return set()
            runtimes = {execution.runtime for execution in process.executions}
            if chunk is None:
                walk.pause()
                if is_zombie(process.pid):
                    return set()
                self.gone_through |= {execution.execution_id: walk.begun for execution in process.executions}
                return runtimes
            self._begun |= runtimes
            self._findings.search(chunk.data, f"memory of {process}, {chunk.place}")
        return set()

    def _why_not(self, executions: Sequence[Watched], runtime: str) -> str:
        of = [execution for execution in executions if execution.runtime == runtime]
        if self._role == "launcher":
            if not any(execution.launcher_pid for execution in of):
                return "its launcher was not seen: it ended too soon, or none started"
        elif not any(execution.main_pid for execution in of):
            return "there is no worker: a process of the user's own ran it"
        elif all(execution.main_pid == execution.pool_pid for execution in of):
            return "the pool is threads or solo: the main process runs the actions itself, and so holds their secrets"
        elif not any(execution.pool_pid for execution in of):
            return "its pool process was not seen, so the main process may have run it itself"
        return "nothing of it could be read"


class _Walk:
    """How far one process's memory was gone through."""

    def __init__(self) -> None:
        self.chunks: Iterator[Chunk] | None = None
        self.begun = 0.0
        self._started: int | None = None
        self._executions: set[int] = set()
        self._next = 0.0
        self._pause = _FIRST_PAUSE

    def begin_if_due(self, pid: int, executions: set[int]) -> None:
        """Begin anew with another process than before, or with another execution's, and else after a pause."""
        started = proc.started(pid)
        if started != self._started or executions - self._executions:
            self._executions |= executions
            self._started, self._next, self._pause, self.chunks = started, 0.0, _FIRST_PAUSE, None
        if self.chunks is None and time.monotonic() >= self._next:
            self.chunks, self.begun = chunks_of(pid), time.monotonic()

    def pause(self) -> None:
        """Wait a while, and longer each time."""
        self.chunks = None
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
