"""The surfaces of files on a worker's machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.deleted_files import DeletedFiles
from attune_tasks.leaks.execution_trees import NONE_SEEN, ExecutionTrees, SeenProcess
from attune_tasks.leaks.folder_surface import FolderSurface, Pace, Shared
from attune_tasks.leaks.surface import Seeker, Surface, Watched

__all__ = ["FileRoots", "file_surfaces"]

_BLIND: Final = f"the working folder of its processes can't be read: {AS_ROOT}"


def _temporary() -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(os.path.realpath, (tempfile.gettempdir(), "/tmp", "/var/tmp"))))  # noqa: S108


def _home() -> tuple[str, ...]:
    return (os.path.expanduser("~"),)  # noqa: PTH111 - Path.home raises where there is none


@dataclass(frozen=True, slots=True)
class FileRoots:
    """Which folders are looked at."""

    temporary: Sequence[str | Path] = field(default_factory=_temporary)
    """Besides the TMPDIR of the executions' processes."""
    temporary_seconds: float = 10.0
    """For the last walk through all of them; what is left then is said."""
    shared_memory: str | Path = "/dev/shm"  # noqa: S108 - to look at
    home: Sequence[str | Path] = field(default_factory=_home)
    """Besides those of the executions' processes."""
    home_seconds: float = 10.0
    """The same for these."""
    changed: Sequence[str | Path] = ("/",)
    changed_seconds: float = 30.0
    """The same for these."""


class _WorkingFolders(FolderSurface):
    """The folders in which the executions' processes are."""

    def __init__(self, seeker: Seeker, shared: Shared) -> None:
        super().__init__("working folder", seeker, shared, (), roots_of=self._folders)
        self._seen: set[str] = set()
        self._blind: set[str] = set()

    def _folders(self, trees: ExecutionTrees) -> Iterator[str]:
        for process in trees.processes:
            if process.cwd is None:
                self._blind.add(process.runtime)
            else:
                self._seen.add(process.runtime)
                if process.cwd != "/":  # where a launcher is: all files that change are another surface
                    yield process.cwd

    def tell_unseen(self, executions: Sequence[Watched]) -> None:
        for runtime in {each.runtime for each in executions}:
            if runtime in self._seen & self._blind:
                self.findings.partly(_BLIND, runtime)
            elif runtime not in self._seen:
                self.findings.not_looked_at(_BLIND if runtime in self._blind else NONE_SEEN, runtime)


def _homes(trees: ExecutionTrees) -> Iterator[str]:
    for process in trees.processes:
        with contextlib.suppress(KeyError):
            yield pwd.getpwuid(process.uid).pw_dir
        yield from _variable(process, "HOME")


def _temporaries(trees: ExecutionTrees) -> Iterator[str]:
    for process in trees.processes:
        yield from _variable(process, "TMPDIR")


def _variable(process: SeenProcess, name: str) -> Iterator[str]:
    if name in process.variables:
        yield process.variables[name]


def file_surfaces(seeker: Seeker, *, sources: Collection[Path] = (), roots: FileRoots | None = None) -> list[Surface]:
    """Make the surfaces of files. `sources` are the files from which the secrets come, where they stand by right."""
    roots = roots or FileRoots()
    shared = Shared(seeker, sources)
    temporary = Pace(end_seconds=roots.temporary_seconds)
    home = Pace(look_seconds=0.01, pause=0.4, end_seconds=roots.home_seconds)
    changed = FolderSurface(
        "changed files",
        seeker,
        shared,
        roots.changed,
        pace=Pace(look_seconds=0, end_seconds=roots.changed_seconds),
    )
    for place in shared.mounts.not_local:
        changed.findings.partly(f"left out, for it is not on this machine: {place}")
    return [
        FolderSurface("temporary folders", seeker, shared, roots.temporary, roots_of=_temporaries, pace=temporary),
        FolderSurface("/dev/shm", seeker, shared, (roots.shared_memory,), everything=True),  # noqa: S108 - a name
        DeletedFiles(seeker, shared),
        _WorkingFolders(seeker, shared),
        FolderSurface("home", seeker, shared, roots.home, roots_of=_homes, pace=home),
        changed,
    ]
