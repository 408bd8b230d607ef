"""What processes come to in memory, and which are launchers: from /proc, so for Linux."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bytes_of", "is_launcher"]


def bytes_of(pid: int, *names: str) -> int:
    """Give the bytes by these names in /proc/<pid>/smaps_rollup, which worker and launcher show to root alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.partition(":")[0] in names)


def is_launcher(pid: int) -> bool:
    """Say whether a process is a launcher, by the name that it gives itself; a fork of one has it, too."""
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "attune-launcher"
