"""A walk over folders for what has changed since a moment: in steps, again and again, the liveliest folders first."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

__all__ = ["Entry", "Walk"]

_LIVELY: Final = 2000
_ENTRIES: Final = 200_000
"""Of one folder: what stands behind is left out."""
_NAMED: Final = 1000


class Entry(NamedTuple):
    """Something that stands in a folder and has changed."""

    path: str
    stat: os.stat_result


class Walk:
    """Goes through folders and all below them; links are not followed.

    One pass may take many steps. Each step first looks at the roots and at folders that have changed, so that what
    has come just now is found however large the rest is.
    """

    def __init__(self, since: int, skipped: Collection[str] = (), *, everything: bool = False) -> None:
        """Look for what has changed since `since`, in nanoseconds of time.time_ns(); with `everything`, for all.

        `skipped` are paths of folders which are left out.
        """
        self._since = since
        self._skipped = skipped
        self._everything = everything
        self._roots: dict[str, None] = {}
        self._new_roots: list[str] = []
        self._lively: dict[str, None] = {}
        self._waiting: deque[str] = deque()
        self._begun = 0.0
        self.listed: set[str] = set()
        """The roots that could be looked into."""
        self.unreadable: dict[str, None] = {}
        """Folders that could not be looked into, for want of permission."""
        self.too_long: dict[str, None] = {}
        """Folders with more entries than are looked at."""
        self._slowest = 0.0

    def add(self, root: str) -> None:
        """Look at the folder `root`, too."""
        if root not in self._roots:
            self._roots[root] = None
            self._lively[root] = None
            self._new_roots.append(root)
            if self._begun:
                self._waiting.append(root)

    @property
    def roots(self) -> Collection[str]:
        """The folders that it was told of."""
        return self._roots.keys()

    @property
    def waiting(self) -> Sequence[str]:
        """The folders that the present pass has still to look into."""
        return self._waiting

    @property
    def slowest_pass(self) -> float:
        """Seconds that a pass has taken from beginning to end, or takes already."""
        return max(self._slowest, time.monotonic() - self._begun if self._begun else 0.0)

    def begin_pass(self) -> None:
        """Begin at the roots again."""
        self._begun = time.monotonic()
        self._waiting = deque(root for root in self._roots if not self._is_below_another(root))

    def step(self, until: float) -> Iterator[Entry]:
        """Give what has changed, until time.monotonic() is `until` or a pass is over; the same things come again."""
        rounds = deque(dict.fromkeys([*self._new_roots, *self._lively]))
        self._new_roots.clear()
        while rounds and time.monotonic() < until:
            folder = rounds.popleft()
            self._lively.pop(folder, None)
            known = len(self._lively)
            self._lively[folder] = None  # at the end: the next step begins with another one
            yield from self._visit(folder)
            rounds.extendleft(list(self._lively)[known + 1 :])
        if not self._begun:
            self.begin_pass()
        while self._waiting and time.monotonic() < until:
            folder = self._waiting.popleft()
            yield from self._visit(folder, self._waiting)
        if not self._waiting:
            self._slowest = self.slowest_pass
            self._begun = 0.0

    def _visit(self, folder: str, further: deque[str] | None = None) -> Iterator[Entry]:
        try:
            with os.scandir(folder) as entries:
                if folder in self._roots:
                    self.listed.add(folder)
                for number, entry in enumerate(entries):
                    if number == _ENTRIES:
                        self.too_long[folder] = None
                        break
                    yield from self._entry(entry, further)
        except PermissionError:
            if len(self.unreadable) < _NAMED:
                self.unreadable[folder] = None
        except OSError:  # it has gone meanwhile
            self._lively.pop(folder, None)

    def _entry(self, entry: os.DirEntry[str], further: deque[str] | None) -> Iterator[Entry]:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return
        changed = max(status.st_ctime_ns, status.st_mtime_ns) >= self._since
        if stat.S_ISDIR(status.st_mode):
            if entry.path in self._skipped:
                return
            if changed and entry.path not in self._lively and len(self._lively) < _LIVELY:
                self._lively[entry.path] = None
            if further is not None:
                further.append(entry.path)
        if changed or self._everything:
            yield Entry(entry.path, status)

    def _is_below_another(self, root: str) -> bool:
        return any(root.startswith(f"{other.rstrip('/')}/") for other in self._roots if other != root)
