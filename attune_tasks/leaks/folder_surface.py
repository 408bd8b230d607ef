"""A surface made of folders: walked a little at each look, and to the end when the executions are over."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.execution_trees import ExecutionTrees
from attune_tasks.leaks.file_search import FileSearch, Spent
from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.mounts import Mounts, read_mounts
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import Seeker, Watched
from attune_tasks.leaks.walking import Walk

__all__ = ["FolderSurface", "Pace", "Shared"]

_MARGIN: Final = 2_000_000_000
"""Nanoseconds by which the clocks of files may be behind."""
_MIB: Final = 1 << 20
_SLOW: Final = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is looked at."""

    look_seconds: float = 0.02
    """For each look while executions run; 0: they are not looked at then."""
    pause: float = 0.0
    """Seconds between such looks."""
    look_bytes: int = 8 * _MIB
    look_bytes_per_file: int = _MIB
    end_seconds: float = 10.0
    """For the look at the end."""
    end_bytes: int = 512 * _MIB
    end_bytes_per_file: int = 16 * _MIB


class Shared:
    """What the surfaces of one scan share."""

    def __init__(self, seeker: Seeker, sources: Collection[Path] = (), mounts: Mounts | None = None) -> None:
        """Spare `sources`, files in which the secrets stand by right."""
        self.sources = sources
        self.mounts = mounts or read_mounts()
        self.trees = ExecutionTrees(seeker)


class FolderSurface:
    """Folders, those that are known and those that the executions' processes bring."""

    def __init__(  # noqa: PLR0913 - what tells one from another
        self,
        name: str,
        seeker: Seeker,
        shared: Shared,
        roots: Iterable[str | Path],
        *,
        pace: Pace | None = None,
        roots_of: Callable[[ExecutionTrees], Iterable[str]] = lambda _: (),
        everything: bool = False,
    ) -> None:
        """Look at `roots`, and at what `roots_of` gives at each look.

        With `everything`, at all files there, not only at those that have changed.
        """
        self.name = name
        self._pace = pace or Pace()
        self._shared = shared
        self._roots = tuple(map(str, roots))
        self._roots_of = roots_of
        self._everything = everything
        self._next = 0.0
        self.findings = Findings(name, seeker)
        self._files = FileSearch(self.findings, shared.trees, shared.sources, shared.mounts.in_memory)
        self._walk = Walk(0)

    def begin(self) -> None:
        """Note when it began: what changes from now on is looked at."""
        skipped = self._shared.mounts.skipped
        self._walk = Walk(time.time_ns() - _MARGIN, skipped, everything=self._everything)
        for root in self._roots:
            self._walk.add(root)

    def look(self, executions: Sequence[Watched]) -> None:
        """Go on a little."""
        self._shared.trees.look(executions)
        self._add_roots()
        pace = self._pace
        if pace.look_seconds and time.monotonic() >= self._next:
            self._step(pace.look_seconds, Spent(pace.look_bytes_per_file, pace.look_bytes))
            self._next = time.monotonic() + pace.pause

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Look at all of it once, and give the rows."""
        pace, walk = self._pace, self._walk
        slowest = walk.slowest_pass
        walk.begin_pass()
        self._step(pace.end_seconds, Spent(pace.end_bytes_per_file, pace.end_bytes))
        self.tell_unseen(executions)
        if walk.waiting:
            self.findings.partly(
                f"{len(walk.waiting)} folders were left when the {pace.end_seconds:.2g} s for them were over,"
                f" for instance {walk.waiting[0]}"
            )
        if pace.look_seconds and slowest > _SLOW + pace.pause:
            self.findings.partly(
                f"one round through them took {slowest:.1f} s: in folders where nothing else had changed,"
                " what was removed sooner may not have been seen"
            )
        self._tell_folders()
        self._files.tell()
        return self.findings.rows(executions)

    def tell_unseen(self, executions: Sequence[Watched]) -> None:
        """Say where nothing could be looked at, and why."""
        if executions and not self._walk.listed:
            roots = ", ".join(self._walk.roots)
            without_time = "there was no time for it" if self._walk.waiting else "no such folder"
            self.findings.not_looked_at(f"{roots}: {AS_ROOT if self._walk.unreadable else without_time}")

    def _add_roots(self) -> None:
        for root in self._roots_of(self._shared.trees):
            self._walk.add(root)

    def _step(self, seconds: float, spent: Spent) -> None:
        for entry in self._walk.step(time.monotonic() + seconds):
            self._files.look_at(entry, spent)

    def _tell_folders(self) -> None:
        walk = self._walk
        if walk.unreadable and walk.listed:
            first = next(iter(walk.unreadable))
            self.findings.partly(
                f"folders that can't be looked into: {AS_ROOT} ({len(walk.unreadable)}, for instance {first})"
            )
        for folder in walk.too_long:
            self.findings.partly(f"{folder} has more entries than are looked at")
