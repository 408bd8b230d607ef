"""Finding what is left of executions: processes, however they hide, and folders. Linux's /proc is what it reads."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Seen", "Tracks", "below", "held_by", "now", "parent_of", "seconds_until_gone", "users_of", "zombies_below"]

ALLOWED_SECONDS: Final = 2.0
"""For nothing to be left, from the event on."""
_ENDED: Final = "ZX"
_STATE, _PARENT, _START = 0, 1, 19  # in /proc/<pid>/stat after the command's name, see proc_pid_stat(5)
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Seen:
    """A process that was seen. By its start it is told from a later one that has its number."""

    pid: int
    started: float
    """Seconds, by the clock of :func:`now`, to a hundredth."""

    @classmethod
    def of(cls, pid: int) -> Seen:
        """See a process that is there."""
        stat = _stat(pid)
        assert stat, f"process {pid} has ended already"
        return cls(pid, int(stat[_START]) / _TICKS)

    def lives(self) -> bool:
        """Tell whether it is there, and is not only waiting to be reaped."""
        stat = _stat(self.pid)
        return stat is not None and stat[_STATE] not in _ENDED and int(stat[_START]) / _TICKS == self.started

    def describe(self) -> str:
        """Say which one it is, for a failure's message."""
        stat = _stat(self.pid) or []
        with suppress(OSError):
            command = Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            name = Path(f"/proc/{self.pid}/comm").read_text(encoding="utf-8").strip()
            return f"process {self.pid} ({name}), state and parent {' '.join(stat[:2])}: {command[:100]}"
        return f"process {self.pid}"


@dataclass(frozen=True)
class Tracks:
    """By what the remains of executions are recognised. None of it can be shaken off by all processes of one."""

    processes: frozenset[Seen]
    """Those that were there before the event."""
    places: tuple[Path, ...]
    """Files and folders: who has one of them open, or stands in it, is a remainder."""
    folders: frozenset[Path]
    """The private folders."""

    def __or__(self, other: Tracks) -> Tracks:
        """Join two."""
        return Tracks(self.processes | other.processes, (*self.places, *other.places), self.folders | other.folders)

    def living(self) -> set[Seen]:
        """Give the processes that are there now. Only where the cheap look finds none, all of /proc is read."""
        return {process for process in self.processes if process.lives()} or set(users_of(self.places))

    def left(self) -> list[str]:
        """Describe all that is there now."""
        processes = [process.describe() for process in self.living()]
        return processes + [f"folder {folder}: {held_by(folder)}" for folder in self.folders if folder.exists()]


def seconds_until_gone(tracks: Tracks, event: float) -> float:
    """Wait until nothing is left; give when that was, in seconds after `event`. Fail after two."""
    while True:
        looked = now()
        left = tracks.left()
        if not left:
            return looked - event
        assert looked - event < ALLOWED_SECONDS, "\n".join([f"left {looked - event:.2f} s after the event:", *left])
        time.sleep(0.01)


def held_by(folder: Path) -> list[str]:
    """Give the names in a folder; none where it is gone by now."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []


def now() -> float:
    """Give the time by the clock in which the kernel says when a process was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def parent_of(process: Seen) -> Seen:
    """Give a process's parent."""
    stat = _stat(process.pid)
    assert stat
    return Seen.of(int(stat[_PARENT]))


def below(*roots: Seen) -> set[Seen]:
    """Give all living processes below some, without these."""
    return {seen for seen, state in _descendants(roots) if state not in _ENDED}


def zombies_below(*roots: Seen) -> set[Seen]:
    """Give what has ended below some, and is not reaped yet."""
    return {seen for seen, state in _descendants(roots) if state in _ENDED}


def users_of(places: Iterable[Path]) -> Iterator[Seen]:
    """Give all processes that have one of some files open, or stand in one of some folders, deleted or not."""
    wanted = tuple(str(place) for place in places)
    for pid in _all_pids():
        if pid != os.getpid() and any(_is_within(path, wanted) for path in _paths_in_use(pid)):
            with suppress(AssertionError):
                seen = Seen.of(pid)
                if seen.lives():
                    yield seen


def _is_within(path: str, places: tuple[str, ...]) -> bool:
    path = path.removesuffix(" (deleted)")
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _paths_in_use(pid: int) -> Iterator[str]:
    with suppress(OSError):
        yield os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - many of them, often
    with suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - the same
            with suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115 - the same


def _descendants(roots: Iterable[Seen]) -> Iterator[tuple[Seen, str]]:
    stats = {pid: stat for pid in _all_pids() if (stat := _stat(pid))}
    found = [root.pid for root in roots]
    for parent in found:  # grows meanwhile
        for pid, stat in stats.items():
            if int(stat[_PARENT]) == parent:
                found.append(pid)
                yield Seen(pid, int(stat[_START]) / _TICKS), stat[_STATE]


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
