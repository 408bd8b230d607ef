"""The surface of core files: none may be left of an execution's process, whatever it holds."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.processes.core_pattern import (
    CRASH_FOLDERS,
    CorePattern,
    numbers_in,
    pid_of_core,
    read_core_pattern,
)
from attune_tasks.leaks.processes.watching import Processes
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import OVERLAP, Seeker, Watched

__all__ = ["CoreFiles"]

_BETWEEN: Final = 0.5
"""Seconds between two looks at folders that are not the executions' own."""
_ENTRIES: Final = 5000
"""Of a folder."""
_FOLDERS: Final = 300
"""In which executions' processes work."""
_BYTES: Final = 256 << 20
"""Searched of one core."""
_CHUNK: Final = 4 << 20
_CLOCK: Final = 100_000_000
"""Nanoseconds by which the clock of a file system may be behind."""


class CoreFiles:
    """Looks for new core files where the kernel puts them.

    Not found is what was removed before a look, as a core in an action's private folder is when the action ends; and
    what stands in a folder in which no process was seen to work.
    """

    name = "core files"

    def __init__(self, seeker: Seeker, processes: Processes) -> None:
        """Look for those of these processes."""
        self._findings = Findings(self.name, seeker)
        self._processes = processes
        self._pattern: CorePattern | None = None
        self._begun = 0
        self._pids: dict[int, dict[int, Watched]] = {}
        self._folders: dict[str, dict[int, Watched]] = {}
        self._done: dict[tuple[str, int], int] = {}
        self._next = 0.0

    def begin(self) -> None:
        """Find out where they would stand."""
        self._begun = time.time_ns() - _CLOCK
        self._pattern = read_core_pattern()
        if self._pattern is None:
            if not Path("/proc/sys/kernel/core_pattern").exists():
                self._findings.not_looked_at("this system does not say where core dumps go (kernel.core_pattern)")
            return
        program = self._pattern.program
        if program:
            there = [folder for folder in CRASH_FOLDERS if os.access(folder, os.R_OK | os.X_OK)]
            told = f"core dumps are given to {program} (kernel.core_pattern)"
            if there:
                self._findings.partly(f"{told}: only what it leaves in {', '.join(there)} is looked at")
            else:
                self._findings.not_looked_at(f"{told}, and none of {', '.join(CRASH_FOLDERS)} can be read: look there")
        elif self._pattern.folder_varies:
            self._findings.partly(
                "kernel.core_pattern names a folder for each process, and the first part of its path is all"
                " that is looked at"
            )
        elif self._pattern.is_absolute and not os.access(self._pattern.folder, os.R_OK | os.X_OK):
            self._findings.not_looked_at(f"core dumps go to {self._pattern.folder}, which can't be read: {AS_ROOT}")

    def look(self, executions: Sequence[Watched]) -> None:
        """Look where the executions' processes are, and now and then elsewhere."""
        self._note(executions)
        folders = list(self._folders)[-_FOLDERS:]
        if time.monotonic() >= self._next:
            folders += self._shared_folders()
            self._next = time.monotonic() + _BETWEEN
        self._look_in(folders, executions, last=False)

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Look everywhere once more."""
        self._note(executions)
        self._look_in([*self._folders, *self._shared_folders()], executions, last=True)
        for each in executions:
            if each.core_dumps > 0:  # wherever they are, or were
                told = f"the kernel says of {each.core_dumps} crashed processes that they dumped core"
                self._findings.add(each.execution_id, "core dump", told)
        return list(self._findings.rows(executions))

    def _note(self, executions: Sequence[Watched]) -> None:
        """Note the processes and the folders in which they work."""
        for process in self._processes.of(self, executions):
            if process.role not in {"launcher", "action"}:
                continue
            for execution in process.executions:
                self._pids.setdefault(process.pid, {})[execution.execution_id] = execution
            if process.role == "action" and self._pattern is not None and not self._pattern.is_absolute:
                try:
                    folder = str(Path(f"/proc/{process.pid}/cwd").readlink())
                except OSError:
                    continue
                if not folder.endswith(" (deleted)"):
                    owners = self._folders.setdefault(str(Path(folder, self._pattern.folder)), {})
                    owners.update({execution.execution_id: execution for execution in process.executions})

    def _shared_folders(self) -> list[str]:
        if self._pattern is None:
            return []
        if self._pattern.program:
            return list(CRASH_FOLDERS)
        if self._pattern.is_absolute:
            return [self._pattern.folder]
        return [folder for folder in (tempfile.gettempdir(), "/") if folder not in self._folders]

    def _look_in(self, folders: Iterable[str], executions: Sequence[Watched], *, last: bool) -> None:
        for folder in folders:
            for path, found in self._new_in(folder):
                key = path, found.st_ino
                size = self._done.get(key)
                # One that still grows is searched when it has come to rest; but it is a core.
                search = last or size == found.st_size
                if size != -1:
                    self._done[key] = -1 if search else found.st_size
                    self._judge(path, folder, executions if search else ())

    def _new_in(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        assert self._pattern is not None  # noqa: S101 - else there are no folders
        try:
            with os.scandir(folder) as entries:
                for number, entry in enumerate(entries):
                    if number >= _ENTRIES:
                        self._findings.partly(f"{folder} holds more than {_ENTRIES} files")
                        return
                    if self._pattern.names.fullmatch(entry.name):
                        found = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode) and found.st_size and found.st_mtime_ns >= self._begun:
                            yield entry.path, found
        except OSError:
            return  # it is gone, or closed: then what is in it is no leak to this user

    def _judge(self, path: str, folder: str, executions: Sequence[Watched]) -> None:
        pids = [pid for pid in numbers_in(os.path.basename(path)) if pid in self._pids]  # noqa: PTH119 - a string
        says: int | None = None
        try:
            with open(path, "rb", opener=_without_following) as file:
                says = pid_of_core(file)
                if says is None and not (self._pattern and self._pattern.program):
                    return  # a file that is called so, and is none
                owners = self._owners(says, pids, folder)
                where = f"core file of pid {says or (pids[0] if pids else '?')}: {path}"
                if executions:
                    os.lseek(file.fileno(), 0, os.SEEK_SET)  # below the buffer
                    owners |= self._search(file.fileno(), where, executions)
        except PermissionError:
            owners = self._owners(None, pids, folder)
            where = f"core file of pid {pids[0] if pids else '?'}, which can't be read: {path}"
        except OSError:
            return
        for execution_id in owners:
            self._findings.add(execution_id, "core dump", where)

    def _owners(self, says: int | None, pids: Sequence[int], folder: str) -> set[int]:
        known: set[int] = set()
        for pid in [says] if says else pids:
            known |= self._pids.get(pid or 0, {}).keys()
        return known or (set() if self._pattern and self._pattern.program else set(self._folders.get(folder, {})))

    def _search(self, descriptor: int, where: str, executions: Sequence[Watched]) -> set[int]:
        """Search a core for secrets; give the executions that it says it is of."""
        marks = {
            execution.execution_id: f"ATTUNE_EXEC_ID={execution.execution_id}\0".encode() for execution in executions
        }
        owners: set[int] = set()
        kept, read = b"", 0
        while piece := os.read(descriptor, _CHUNK):
            data = kept + piece
            self._findings.search(data, where)
            owners |= {execution_id for execution_id, mark in marks.items() if mark in data}
            kept = data[-OVERLAP:]
            read += len(piece)
            if read >= _BYTES:
                self._findings.partly(f"only {_BYTES >> 20} MiB of a core file were searched")
                break
        return owners


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
