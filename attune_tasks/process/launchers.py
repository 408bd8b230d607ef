"""The launchers of one worker process: made when they are needed, kept for the next execution, renewed in time."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from attune_tasks.process.launcher import Launcher
from attune_tasks.process.launcher_start import LauncherSpec
from attune_tasks.process.orphans import ORPHANAGE

__all__ = ["Launchers", "LaunchersPolicy"]

logger = logging.getLogger("attune_tasks.process")


@dataclass(frozen=True, slots=True)
class LaunchersPolicy:
    """How launchers are kept."""

    per_slot: int = 4
    """How many wait, ready, for each slot; of more the one that was used least recently is ended."""
    renew_after: int = 500
    """Executions, after which a launcher is replaced: its forks share its hash seed and address layout."""
    undumpable: bool = True
    """Whether no other process of the same user may look into launchers and forked actions."""
    cgroup: bool = True
    """Whether each launcher gets a cgroup of its own, where the worker can make one."""
    standby: bool = True
    """Whether, in a burst, programs are started ahead of their executions, where their runtime can do that."""
    guardians: Sequence[int] = field(default_factory=tuple)
    """Pids of the processes with whose end launchers take all down, beside this one."""


class Launchers:
    """Gives each execution a launcher of its spec for itself. For any number of threads."""

    def __init__(self, policy: LaunchersPolicy | None = None) -> None:
        """Start none yet."""
        self._policy = policy or LaunchersPolicy()
        self._lock = threading.RLock()  # re-entrant: a signal handler may close them
        self._process = os.getpid()
        self._idle: list[Launcher] = []
        """The least recently used first."""
        self._in_use = 0
        self._slots = 1
        """The most that were in use at once."""
        self._said: set[tuple[str, str]] = set()
        self._closed = False
        # Nobody need remember to close them: what is not in use ends with this object, or with the interpreter.
        weakref.finalize(self, _end_forgotten, self._idle, self._process)

    @contextmanager
    def launcher(self, spec: LauncherSpec, *, single_use: bool = False) -> Iterator[Launcher]:
        """Give a launcher that nobody else uses meanwhile. Raises StartError where none can be started.

        With `single_use` it is new, and ended afterwards. One whose user failed is ended, too.
        """
        self._forget_those_of_another_process()
        with self._lock:
            self._in_use += 1
            self._slots = max(self._slots, self._in_use)
            launcher = None if single_use else self._taken(spec)
            for idle in self._idle:
                idle.standby.close_in_time()
        keep = False
        try:
            if launcher is None:
                with ORPHANAGE:
                    launcher = self._new(spec)
                self._tell_once(launcher)
            with ORPHANAGE:
                yield launcher
            keep = not single_use and launcher.reusable and launcher.executions < self._policy.renew_after
        finally:
            with self._lock:
                self._in_use -= 1
                surplus = [launcher] if launcher is not None and not (keep and not self._closed) else []
                if launcher is not None and not surplus:
                    self._idle.append(launcher)
                while len(self._idle) > self._policy.per_slot * self._slots:
                    surplus.append(self._idle.pop(0))
            _end(surplus)

    def close(self) -> None:
        """End all that wait; those in use are ended when their execution is over."""
        self._forget_those_of_another_process()
        with self._lock:
            self._closed = True
            idle = self._idle[:]
            self._idle.clear()
        _end(idle)

    def _new(self, spec: LauncherSpec) -> Launcher:
        policy = self._policy
        guardians = (os.getpid(), *policy.guardians)
        return Launcher(spec, guardians, undumpable=policy.undumpable, cgroup=policy.cgroup, standby=policy.standby)

    def _taken(self, spec: LauncherSpec) -> Launcher | None:
        """Take the most recently used one of a spec out of those that wait."""
        for index in reversed(range(len(self._idle))):
            if self._idle[index].spec == spec:
                launcher = self._idle.pop(index)
                if launcher.is_alive():
                    return launcher
                _end([launcher])
        return None

    def _forget_those_of_another_process(self) -> None:
        """Leave to the process that we were forked from what is its own."""
        if self._process != os.getpid():
            for launcher in self._idle:
                launcher.let_go()
            self._idle = []
            self.__init__(self._policy)  # type: ignore[misc]  # the lock may have been held when we were forked

    def _tell_once(self, launcher: Launcher) -> None:
        why = launcher.unforkable
        if why is None or (launcher.spec.name, why) in self._said:
            return
        self._said.add((launcher.spec.name, why))
        logger.warning(
            "Python actions of the pack %s get a fresh interpreter each, for their launcher can't be forked: %s",
            launcher.spec.name,
            "its preload started a thread" if why == "threads" else f"its {_plain(why)} failed",
        )


def _end_forgotten(launchers: list[Launcher], process: int) -> None:
    if process == os.getpid():
        _end(launchers)


def _end(launchers: Sequence[Launcher]) -> None:
    for launcher in launchers:
        launcher.hang_up()  # so that all of them end at the same time
    for launcher in launchers:
        launcher.close()


def _plain(text: str) -> str:
    """Make one short printable line of what a launcher said."""
    return "".join(character if character.isprintable() else "?" for character in text[:100])
