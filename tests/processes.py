"""What tests look at in processes: /proc, and what is left of an execution."""

from __future__ import annotations

import os
import re
from pathlib import Path

from attune_tasks.process import Launcher

__all__ = ["alive", "carrying", "children", "folders_of", "memory_of", "mentions", "status_of"]


def alive(pid: int) -> bool:
    """Say whether a process is there, and more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    """Give the pids of a process's children."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def status_of(pid: int | str) -> dict[str, str]:
    """Give the fields of /proc/<pid>/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def carrying(mark: str) -> list[int]:
    """Give the pids of all processes with `mark` in their environment or command line, which inherit the first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            for name in ("environ", "cmdline"):
                try:
                    if mark.encode() in (entry / name).read_bytes() and alive(int(entry.name)):
                        found.append(int(entry.name))
                        break
                except OSError:
                    continue
    return found


def folders_of(launcher: Launcher) -> list[str]:
    """Give the private folders that are there of a launcher, out of all that it will ever have."""
    return [path for path in map(launcher._folder, range(256)) if os.path.lexists(path)]


def memory_of(pid: int) -> bytes:
    """Give all memory of a process that can be read, as root."""
    pieces = []
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r)", line)
            if match is None or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = int(match[1], 16), int(match[2], 16)
            memory.seek(start)
            left = end - start
            while left > 0:
                try:
                    piece = memory.read(min(left, 1 << 22))
                except OSError:
                    break
                if not piece:
                    break
                pieces.append(piece)
                left -= len(piece)
    return b"".join(pieces)


def mentions(pid: int, text: str) -> int:
    """Count how often a process's memory holds `text`, as UTF-8 or as UTF-16 or UTF-32."""
    memory = memory_of(pid)
    return sum(memory.count(text.encode(encoding)) for encoding in ("utf-8", "utf-16-le", "utf-32-le"))
