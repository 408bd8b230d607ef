"""Looking for secrets in the names and the contents of files, each as often as it changes, within bounds."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final, TypeVar

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.execution_trees import ExecutionTrees
from attune_tasks.leaks.file_bytes import read_file
from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.walking import Entry

__all__ = ["FileSearch", "Spent"]

_KNOWN: Final = 100_000
_NAMED: Final = 1000
_RACY: Final = 50_000_000
"""Nanoseconds in which a file can change twice with one time."""

_K = TypeVar("_K")
_V = TypeVar("_V")
_Key = tuple[int, int]
_Mark = tuple[int, int, int]


class Spent:
    """How much one look may still read."""

    def __init__(self, per_file: int, total: int) -> None:
        """Allow so many bytes of each file, and of all."""
        self.per_file = per_file
        self.total = total


class FileSearch:
    """Searches files for one surface."""

    def __init__(
        self, findings: Findings, trees: ExecutionTrees, sources: Collection[Path], in_memory: Collection[int]
    ) -> None:
        """Spare `sources`, files in which the secrets stand by right; for `in_memory` see Mounts."""
        self._findings = findings
        self._trees = trees
        self._sources = {os.path.realpath(source) for source in sources}
        self._source_names = {os.path.basename(source) for source in self._sources}  # noqa: PTH119 - text
        self._in_memory = in_memory
        self._searched: dict[_Key, _Mark] = {}
        self._names: dict[tuple[_Key, str], None] = {}
        self._cut: dict[_Key, tuple[str, int]] = {}
        self._left: dict[_Key, str] = {}
        self._unreadable: dict[str, None] = {}
        self._spared: dict[str, None] = {}

    def look_at(self, entry: Entry, spent: Spent) -> None:
        """Look at a name, and at what stands under it where that has changed since it was looked at."""
        path, status = entry
        key = (status.st_dev, status.st_ino)
        if self._is_source(path):
            self._spared[path] = None
            return
        if (key, path) not in self._names and self._search_name(entry):
            _note(self._names, (key, path), None)
        if stat.S_ISREG(status.st_mode) and status.st_size:
            self.search_content(path, status, spent)

    def search_content(self, path: str, status: os.stat_result, spent: Spent, *, name: str = "") -> None:
        """Look at what stands in a regular file; with `name`, `path` is a link in /proc to a file of that name."""
        key = (status.st_dev, status.st_ino)
        mark = (status.st_ctime_ns, status.st_mtime_ns, status.st_size)
        if self._searched.get(key) == mark and not (key in self._cut and self._cut[key][1] < spent.per_file):
            return
        if spent.total <= 0:
            _note(self._left, key, name or path)
            return
        try:
            read = read_file(path, spent.per_file, follow=bool(name))
        except PermissionError:
            _note(self._unreadable, name or path, None, _NAMED)
            return
        except OSError:  # it has gone
            return
        self._left.pop(key, None)
        if read is None:
            return
        spent.total -= sum(map(len, read.pieces))
        if read.is_whole:
            self._cut.pop(key, None)
        else:
            _note(self._cut, key, (name or path, spent.per_file))
        where = f"{name} ({path})" if name else path
        program = self._program(name or path, status)
        known = [self._is_known(piece, where, program) for piece in read.pieces]
        is_settled = (
            all(known) and time.time_ns() - max(mark[0], mark[1]) > _RACY and status.st_dev not in self._in_memory
        )
        if is_settled:
            _note(self._searched, key, mark)
        else:
            self._searched.pop(key, None)

    def tell(self) -> None:
        """Say what of the files was not seen."""
        _tell(self._findings, self._unreadable, f"changed files that can't be read: {AS_ROOT}")
        _tell(
            self._findings, self._left.values(), "changed files for which no bytes were left of what one look may read"
        )
        _tell(
            self._findings,
            [path for path, _ in self._cut.values()],
            "files too large to be looked at whole: only their beginning and end were",
        )
        _tell(self._findings, self._spared, "left out, for that is where the secrets come from")

    def _is_known(self, data: bytes, where: str, program: str) -> bool:
        """Search; give whether all is known: where no program is for what was found, one may be in a later look."""
        return not self._findings.search(data, where, program) or bool(program)

    def _search_name(self, entry: Entry) -> bool:
        path, status = entry
        program = self._program(path, status)
        folder, _, name = path.rpartition("/")
        is_known = self._is_known(os.fsencode(name), f"the name of a file in {folder or '/'}: {name}", program)
        if stat.S_ISLNK(status.st_mode):
            try:
                target = os.fsencode(Path(path).readlink())
            except OSError:
                return is_known
            is_known &= self._is_known(target, f"where the link {path} leads", program)
        return is_known

    def _is_source(self, path: str) -> bool:
        return path.rpartition("/")[2] in self._source_names and os.path.realpath(path) in self._sources

    def _program(self, path: str, status: os.stat_result) -> str:
        return self._trees.program_of(path, status)


def _note(known: dict[_K, _V], key: _K, value: _V, most: int = _KNOWN) -> None:
    """Keep something; of too many, the oldest is forgotten."""
    known.pop(key, None)
    known[key] = value
    if len(known) > most:
        del known[next(iter(known))]


def _tell(findings: Findings, paths: Collection[str], what: str) -> None:
    if paths:
        several = f"{len(paths)}, for instance " if len(paths) > 1 else ""
        findings.partly(f"{what} ({several}{next(iter(paths))})")
