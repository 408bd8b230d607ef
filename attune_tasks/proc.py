"""Processes as /proc shows them (proc(5)). Where there is no /proc, there are none to see."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Process", "below", "parent_of", "processes", "read"]

_PROC = Path("/proc")


class Process(NamedTuple):
    """One process."""

    pid: int
    parent: int
    session: int
    is_zombie: bool


def processes() -> Iterator[Process]:
    """Give all processes that can be seen."""
    for stat in _PROC.glob("[0-9]*/stat"):
        # Fields after the command in parentheses: state, parent, group, session.
        with contextlib.suppress(OSError):
            state, parent, _, session, *_ = stat.read_text(errors="replace").rpartition(")")[2].split()
            yield Process(int(stat.parent.name), int(parent), int(session), state in "ZX")


def below(root: int) -> list[Process]:
    """Give the descendants of the process `root`, whatever their session."""
    children: dict[int, list[Process]] = {}
    for process in processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    pending = [root]
    while pending:
        offspring = children.get(pending.pop(), [])
        found += offspring
        pending += [process.pid for process in offspring]
    return found


def read(pid: int, name: str) -> list[bytes] | None:
    """Give the NUL-separated parts of ``/proc/<pid>/environ`` or ``cmdline``; None where it can't be read."""
    try:
        data = (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return None
    return [part for part in data.split(b"\0") if part]


def parent_of(pid: int) -> int:
    """Give the pid of a process's parent; 0 where there is none to see."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])
