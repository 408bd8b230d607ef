"""The processes of the executions that run: their folders, the files they hold open, and what they are called."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from attune_tasks.leaks.shown_command import shown_command
from attune_tasks.leaks.surface import Seeker, Watched
from attune_tasks.proc import below, read

__all__ = ["NONE_SEEN", "ExecutionTrees", "OpenFile", "SeenProcess"]

NONE_SEEN: Final = "none of its processes was seen: it ended too soon, or its launcher was not found"
"""Why a surface of processes was not looked at."""

_K = TypeVar("_K")
_FRESH: Final = 0.04
"""Seconds for which a look is good: the surfaces look one after the other."""
_FOLDERS: Final = frozenset({"HOME", "TMPDIR"})
_MOST: Final = 20_000


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file that a process has open."""

    path: str
    """``/proc/<pid>/fd/<number>``."""
    target: str
    """The name of the file, or what it was before it was removed."""
    status: os.stat_result


@dataclass(slots=True)
class SeenProcess:
    """A process below a launcher."""

    pid: int
    runtime: str
    command: str
    """Its command line, masked and of a bounded length."""
    uid: int
    cwd: str | None
    """None where it can't be read: of an undumpable process, root alone can."""
    variables: Mapping[str, str]
    """Of HOME and TMPDIR those that are there and can be read."""
    files: list[OpenFile] = field(default_factory=list)
    files_hidden: bool = False
    """Whether what it has open can't be read."""


class ExecutionTrees:
    """What is known of the executions' processes. Several surfaces share one, in one thread."""

    def __init__(self, seeker: Seeker) -> None:
        """Know nothing yet; `seeker` masks command lines."""
        self._seeker = seeker
        self.processes: list[SeenProcess] = []
        """Those of the last look."""
        self._looked = 0.0
        self._by_file: dict[tuple[int, int], str] = {}
        self._by_folder: dict[str, str] = {}

    def look(self, executions: Sequence[Watched]) -> None:
        """Look, unless another surface did a moment ago."""
        if time.monotonic() - self._looked < _FRESH:
            return
        self.processes = [process for each in executions if not each.is_over for process in _tree(each, self._seeker)]
        files: dict[tuple[int, int], str] = {}
        folders: dict[str, str] = {}
        for process in self.processes:
            for file in process.files:
                files.setdefault((file.status.st_dev, file.status.st_ino), process.command)
            if process.cwd is not None:
                folders.setdefault(process.cwd, process.command)
        _add(self._by_file, files)
        _add(self._by_folder, folders)
        self._looked = time.monotonic()

    def program_of(self, path: str, status: os.stat_result) -> str:
        """Give the command line of what has or had a file open, else of what is in its folder, masked; else ""."""
        if program := self._by_file.get((status.st_dev, status.st_ino)):
            return program
        folder = path
        while folder not in {"", "/"}:
            folder = folder.rpartition("/")[0]
            if program := self._by_folder.get(folder):
                return program
        return ""


def _add(known: dict[_K, str], new: dict[_K, str]) -> None:
    known.update(new)
    while len(known) > _MOST:
        del known[next(iter(known))]


def _tree(execution: Watched, seeker: Seeker) -> Iterator[SeenProcess]:
    root = execution.launcher_pid or execution.pool_pid
    if not root:
        return
    ours = {os.getpid()}
    for process in below(root):
        # Where the launcher is not known yet, others are there, and perhaps whoever looks.
        if process.parent in ours or process.pid in ours:
            ours.add(process.pid)
        elif process.parent == execution.pool_pid:
            continue
        elif not process.is_zombie and (seen := _seen(process.pid, execution.runtime, seeker)) is not None:
            yield seen


def _seen(pid: int, runtime: str, seeker: Seeker) -> SeenProcess | None:
    arguments = read(pid, "cmdline")
    uid = _uid(pid)
    if arguments is None or uid is None:  # it has ended
        return None
    cwd: str | None = None
    try:
        cwd = str(Path(f"/proc/{pid}/cwd").readlink())
    except PermissionError:
        pass
    except OSError:
        return None
    seen = SeenProcess(pid, runtime, shown_command(arguments, seeker), uid, cwd, _variables(pid))
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - some ten times a second
    except PermissionError:
        seen.files_hidden = True
    except OSError:
        pass
    else:
        seen.files += [file for number in numbers if (file := _file(f"/proc/{pid}/fd/{number}")) is not None]
    return seen


def _variables(pid: int) -> dict[str, str]:
    pairs = (os.fsdecode(variable).partition("=") for variable in read(pid, "environ") or ())
    return {name: value for name, _, value in pairs if name in _FOLDERS and value.startswith("/")}


def _file(path: str) -> OpenFile | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - some ten times a second
        if not stat.S_ISREG(status.st_mode):
            return None
        return OpenFile(path, os.readlink(path), status)  # noqa: PTH115 - the same
    except OSError:
        return None


def _uid(pid: int) -> int | None:
    """Give its user; the owner of its folder in /proc is root where it is undumpable."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        return int(status.partition("\nUid:")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
