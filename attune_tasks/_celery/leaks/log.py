"""The surface "log": what the worker adds to its log files, and its records at DEBUG where it hands them on."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from attune_tasks._celery.leaks.base import CelerySurface
from attune_tasks._celery.leaks.readings import Seam, unseen_at_seams
from attune_tasks.leaks import Row, Seeker, Watched
from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.proc import read

__all__ = ["LogSurface"]

_BEFORE: Final = 1 << 20
"""Bytes at the end of a file that was not there to be seen at the beginning. Canaries are new: nothing old has one."""
_AT_ONCE: Final = 4 << 20
_FED_BYTES: Final = 64 << 20
_STANDARD: Final = ("1", "2")


class _LogFile:
    def __init__(self, file: BinaryIO, shown: str, start: int, seeker: Seeker) -> None:
        self.file = file
        self.shown = shown
        self.seam = Seam(seeker)
        file.seek(start)


class LogSurface(CelerySurface):
    """Reads the log files of the worker's main and pool processes; and takes log records that are fed to it."""

    def __init__(self, seeker: Seeker, main_pid: int = 0) -> None:
        """Read nothing yet; `main_pid` is the worker's main process, where it is known before an execution runs."""
        super().__init__("log", seeker)
        self._main_pid = main_pid
        self._files: dict[tuple[int, int], _LogFile] = {}
        self._lost_bytes = False
        self._fed = 0
        self._feed_lock = threading.Lock()

    def feed(self, line: bytes, where: str) -> None:
        """Take a log record, formatted, from ``main process``, ``pool process 71``, …; from any thread."""
        with self._feed_lock:
            self._fed += len(line) or 1
            if self._fed > _FED_BYTES:
                self._lost_bytes = True
                return
        self._search(line, f"log record of the {where}")

    def begin(self) -> None:
        """Note where the log files end now."""
        if self._main_pid:
            self._notice(self._main_pid, before=0)

    def look(self, executions: Sequence[Watched]) -> None:
        """Read what was added."""
        for pid in dict.fromkeys(pid for each in executions for pid in (each.main_pid, each.pool_pid) if pid):
            self._notice(pid, before=_BEFORE)
        self._read()

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Read the rest."""
        self.look(executions)
        for each in self._files.values():
            each.file.close()
        if self._files and (unseen := unseen_at_seams(self._findings.seeker)):
            self._partly(unseen)
        if self._lost_bytes:
            self._partly("there was more than is searched")
        if not self._files and not self._fed:
            self._not_looked_at(
                "the worker's log is no file that can be read here, and no log record came from it:"
                f" start it with --logfile, or {AS_ROOT}"
            )
        elif not self._fed:
            self._partly("only what the worker's own log level lets through")
        return super().end(executions)

    def _notice(self, pid: int, before: int) -> None:
        for path, shown in _log_files(pid):
            with suppress(OSError):
                found = path.stat()
                place = (found.st_dev, found.st_ino)
                if stat.S_ISREG(found.st_mode) and place not in self._files:
                    file = path.open("rb")
                    self._files[place] = _LogFile(file, shown, max(0, found.st_size - before), self._findings.seeker)

    def _read(self) -> None:
        for each in self._files.values():
            with suppress(OSError):
                added = each.file.read(_AT_ONCE)
                if len(added) == _AT_ONCE:
                    each.file.seek(0, os.SEEK_END)
                    self._lost_bytes = True
                if added:
                    self._search(each.seam.joined(added), f"log file {each.shown}")


def _log_files(pid: int) -> Iterator[tuple[Path, str]]:
    """Give a process's standard output and error, what it has open for appending, and what --logfile names."""
    folder = Path(f"/proc/{pid}/fd")
    names: list[str] = []
    with suppress(OSError):
        names = sorted(path.name for path in folder.iterdir())
    for name in names:
        with suppress(OSError):
            target = (folder / name).readlink()
            if name in _STANDARD or (target.is_absolute() and _appends(pid, name)):
                yield folder / name, str(target)
    arguments = [part.decode(errors="surrogateescape") for part in read(pid, "cmdline") or ()]
    for argument, following in pairwise([*arguments, ""]):  # none, of one that has ended
        option, is_joined, value = argument.partition("=")
        if option in {"--logfile", "-f"}:
            path = Path(value if is_joined else following)
            if not path.is_absolute():
                with suppress(OSError):
                    path = Path(f"/proc/{pid}/cwd").readlink() / path
            if path.is_absolute():
                yield path, str(path)


def _appends(pid: int, name: str) -> bool:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/fdinfo/{name}").read_text(encoding="ascii").splitlines():
            kind, _, value = line.partition(":")
            if kind == "flags":
                return bool(int(value, 8) & os.O_APPEND)
    return False
