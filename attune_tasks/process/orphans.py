"""What falls to the worker when a launcher is gone: an action runs as the same user, and may kill its own launcher."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Final

from attune_tasks.process._launcher import attune_tree

__all__ = ["LAUNCHERS", "ORPHANAGE", "Orphanage", "OwnLaunchers", "now_ticks", "start_ticks", "sweep"]

_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h
_KILL_SECONDS: Final = 10.0
_SESSION, _START = 3, 19  # in what attune_tree.stat_of() gives: proc_pid_stat(5)


class Orphanage:
    """Makes this process the one to whom orphans fall, while any execution runs in it, and not longer.

    Not longer, for other tasks of the same worker may start daemons, which are none of ours.
    """

    def __init__(self) -> None:
        """Begin with none running."""
        self._lock = threading.RLock()  # re-entrant: see OwnLaunchers
        self._running = 0

    def __enter__(self) -> None:
        """Count one more."""
        with self._lock:
            self._running += 1
            if self._running == 1:
                _set_subreaper(on=True)

    def __exit__(self, *_: object) -> None:
        """Count one less."""
        with self._lock:
            self._running -= 1
            if not self._running:
                _set_subreaper(on=False)


class OwnLaunchers:
    """The launchers of this process, by pid. One that is just being started is among them, too."""

    def __init__(self) -> None:
        """Begin with none."""
        # Re-entrant: while a thread starts a launcher, the garbage collector may have it end forgotten ones,
        # and so may the handler of a signal.
        self._lock = threading.RLock()
        self._pids: set[int] = set()

    @contextmanager
    def starting(self) -> Iterator[set[int]]:
        """Give the set for one to be added, while nobody looks."""
        with self._lock:
            yield self._pids

    def discard(self, pid: int) -> None:
        """Take one out that has ended."""
        with self._lock:
            self._pids.discard(pid)

    def without(self, pids: list[int]) -> list[int]:
        """Give those of `pids`, which run by now, that are none of them."""
        with self._lock:
            return [pid for pid in pids if pid not in self._pids]


ORPHANAGE: Final = Orphanage()
LAUNCHERS: Final = OwnLaunchers()
"""Those of this process, whatever executors it has: there is one switch, and one set of children."""


def _begin_anew() -> None:
    """Take no count and no held lock over from the process that we were forked from."""
    ORPHANAGE.__init__()  # type: ignore[misc]
    LAUNCHERS.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_begin_anew)


def start_ticks(pid: int) -> int:
    """Give when a process was started, in the clock ticks of /proc; a time after all others where it is unknown."""
    stat = attune_tree.stat_of(pid)
    return int(stat[_START]) if stat else sys.maxsize


def now_ticks() -> int:
    """Give the time in the clock ticks of /proc; one after all others where there is no such clock."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return sys.maxsize
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def sweep(since: int) -> list[tuple[int, int]]:
    """Kill what a lost launcher left to this process; give pid and uid of what can't be killed.

    That is each child of this process which began at `since` (ticks; the execution's begin) or later in a session of
    its own, and is none of its launchers. An action can't be in the worker's session. A program that another task in
    another thread starts meanwhile in a new session can't be told from it, and is killed, too.
    """

    def orphans() -> list[int]:
        session = os.getsid(0)
        found = []
        for pid in LAUNCHERS.without(attune_tree.children_of(os.getpid())):
            stat = attune_tree.stat_of(pid)
            if stat and int(stat[_SESSION]) != session and int(stat[_START]) >= since:
                found.append(pid)
        return found

    def reap() -> None:
        for pid in orphans():
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    left = attune_tree.kill(orphans, reap, _KILL_SECONDS)
    return [(pid, attune_tree.owner_of(pid)) for pid in left]


def _set_subreaper(*, on: bool) -> None:
    if (prctl := _prctl()) is not None:
        prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


@cache
def _prctl() -> Callable[..., int] | None:
    """Give prctl(2); None where there is none: not Linux."""
    try:
        return ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
