"""The launchers below a worker's main process, as /proc shows them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["SeenLauncher", "launchers_below"]

_SCRIPT: Final = "attune_launcher.py"
_STATE, _PARENT, _START = 0, 1, 19  # in /proc/<pid>/stat, after the command: proc_pid_stat(5)
_NAMES: Final = frozenset({"pid", "pack", "busy", "age_seconds", "memory_kib"})


@dataclass(frozen=True, slots=True)
class SeenLauncher:
    """One launcher at one moment."""

    pid: int
    pack: str
    busy: bool
    """Whether an action runs below it."""
    age_seconds: int
    memory_kib: int
    """What is resident and shared with no file: its own, and what it shares with its forks."""

    def to_dict(self) -> dict[str, Any]:
        """Give a dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> SeenLauncher | None:
        """Take up again what a worker answered; None where it is of another form."""
        if not isinstance(data, Mapping) or not data.keys() >= _NAMES:
            return None
        numbers = [data[name] for name in ("pid", "age_seconds", "memory_kib")]
        if not all(isinstance(number, int) for number in numbers):
            return None
        return cls(numbers[0], str(data["pack"]), bool(data["busy"]), numbers[1], numbers[2])


def launchers_below(pid: int) -> list[SeenLauncher]:
    """Give the launchers among the descendants of a process, by their pids; none where there is no /proc.

    It looks at all processes, once. What runs below a launcher is the action's, though a forked action has the
    launcher's command line.
    """
    children: dict[int, list[tuple[int, list[str]]]] = {}
    for found, stat in _all_stats():
        children.setdefault(int(stat[_PARENT]), []).append((found, stat))
    launchers = []
    waiting = [pid]
    for parent in waiting:  # grows meanwhile
        for child, stat in children.get(parent, ()):
            pack = _pack_of(child)
            if pack is None:
                waiting.append(child)
                continue
            busy = any(grandchild[_STATE] not in "ZX" for _, grandchild in children.get(child, ()))
            launchers.append(SeenLauncher(child, pack, busy, _age(stat), _memory(child)))
    return sorted(launchers, key=lambda launcher: launcher.pid)


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - half the time of iterdir
    except OSError:
        return
    for name in names:
        try:
            text = Path("/proc", name, "stat").read_text(errors="replace")
        except OSError:  # it has ended
            continue
        yield int(name), text.rpartition(")")[2].split()


def _pack_of(pid: int) -> str | None:
    """Give the pack of a launcher: ``python -I -X utf8 …/attune_launcher.py FD PACK``; None for another process."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    for index, argument in enumerate(arguments[:-2]):
        if argument.rpartition("/")[2] == _SCRIPT:
            return arguments[index + 2]
    return None


def _age(stat: list[str]) -> int:
    started = int(stat[_START]) / os.sysconf("SC_CLK_TCK")
    return max(0, round(time.clock_gettime(time.CLOCK_BOOTTIME) - started))


def _memory(pid: int) -> int:
    """Give the private resident memory in KiB; smaps would be exact, and is closed to other processes."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE") // 1024
