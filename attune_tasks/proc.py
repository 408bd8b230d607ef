"""Processes as /proc shows them (proc(5)). Where there is no /proc, there are none to see."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Process", "below", "children", "parent_of", "processes", "read", "started", "tree"]

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


def children(pid: int) -> list[int]:
    """Give the pids of a process's children, quickly: without a look at other processes. None where it has ended."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - half the time of iterdir
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:  # noqa: PTH123 - the same
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        if not _knows_children() and (_PROC / str(pid)).exists():
            return [process.pid for process in processes() if process.parent == pid]
    except OSError:
        pass
    return found


def tree(root: int, at_most: int, without: Container[int] = ()) -> list[int]:
    """Give the pids of the descendants of the process `root`, those near it first, no more than `at_most`.

    Of those that are in `without` the descendants are left out, too.
    """
    found: list[int] = []
    for parent in (waiting := [root]):  # grows meanwhile
        if len(found) >= at_most:
            break
        below_it = [pid for pid in children(parent) if pid not in without]
        found += below_it
        waiting += below_it
    return found[:at_most]


def started(pid: int) -> int | None:
    """Give when a process was started, in clock ticks since the machine was; with its pid it tells it from all others.

    None where it has ended.
    """
    try:
        return int((_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def _knows_children() -> bool:
    return (_PROC / "thread-self" / "children").exists()  # a kernel may be built without it


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
