"""A cgroup of its own for each launcher, where one may be made: a second means to end all that is below it.

The launcher is put into it once, and what it starts is born there: an execution pays nothing. ``cgroup.kill`` reaches
what a walk by parents and signals does not: processes of another user. Version 2 alone, see cgroups(7).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["Cgroup", "own_cgroup"]

_REMOVE_SECONDS: Final = 2.0
_PAUSE: Final = 0.005
_PREFIX: Final = "attune-"


class Cgroup:
    """One cgroup below the worker's own."""

    def __init__(self, path: Path) -> None:
        """Use the one at `path`, which :meth:`made` has made."""
        self.path = path
        self._bound = ""

    @classmethod
    def made(cls, pid: int, parent: Path | None = None) -> Cgroup | None:
        """Make one below `parent`, the worker's own, and put the process `pid` there; None where that can't be done."""
        parent = parent or own_cgroup()
        if parent is None:
            return None
        _remove_stale(parent)
        group = cls(parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}")
        try:
            group.path.mkdir()
        except OSError:
            return None
        if (group.path / "cgroup.kill").exists():  # Linux 5.14
            with contextlib.suppress(OSError):
                (group.path / "cgroup.procs").write_text(f"{pid}\n")
                return group
        group.remove()
        return None

    def pids(self) -> list[int]:
        """Give what is in it; those of another pid namespace are 0."""
        try:
            return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def kill(self) -> None:
        """Kill all that is in it, the launcher too."""
        with contextlib.suppress(OSError):
            (self.path / "cgroup.kill").write_text("1\n")

    def bound(self, processes: int | None) -> None:
        """Let `processes` be in it beside the launcher, where the pids controller is there; None: any number."""
        text = "max" if processes is None else str(processes + 1)
        if text != (self._bound or "max"):
            self._bound = text
            with contextlib.suppress(OSError):
                descriptor = os.open(self.path / "pids.max", os.O_WRONLY | os.O_TRUNC)
                try:
                    os.write(descriptor, text.encode())
                finally:
                    os.close(descriptor)

    def remove(self) -> bool:
        """Remove it once nothing is in it any more; give whether it is gone."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        while True:
            try:
                self.path.rmdir()
            except FileNotFoundError:
                return True
            except OSError:  # what was killed is still ending
                if time.monotonic() > deadline:
                    return False
                time.sleep(_PAUSE)


@cache
def _remove_stale(parent: Path) -> None:
    """Remove, once in a process, the empty ones of workers that were killed: launchers can't remove their own."""
    with contextlib.suppress(OSError):
        for path in parent.glob(f"{_PREFIX}*-*"):
            pid = path.name.removeprefix(_PREFIX).partition("-")[0]
            if pid.isdecimal() and not Path("/proc", pid).exists():
                with contextlib.suppress(OSError):  # not empty, or another was faster
                    path.rmdir()


@cache
def own_cgroup(process: str = "self") -> Path | None:
    """Give the folder of this process's cgroup in the version 2 hierarchy; None where there is none."""
    proc = Path("/proc") / process
    try:
        lines = (proc / "cgroup").read_text().splitlines()
        mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines()]
    except OSError:
        return None
    within = next((line[3:] for line in lines if line.startswith("0::")), None)
    for fields in mounts:
        # proc_pid_mountinfo(5): the third is the root within the filesystem, the fourth where it is mounted.
        root, place, kind = fields[3], fields[4], fields[fields.index("-") + 1]
        if kind == "cgroup2" and within is not None and Path(within).is_relative_to(root):
            return Path(place) / Path(within).relative_to(root)
    return None
