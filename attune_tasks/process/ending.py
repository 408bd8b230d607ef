"""How a child is ended: SIGTERM to its process group, a grace, then SIGKILL."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

__all__ = ["Ending", "kill_group", "living_members"]


class Ending:
    """The end of one process group, begun by a deadline or a cancellation."""

    def __init__(self, group: int, grace: float) -> None:
        """Prepare to end the group led by the pid `group`; `grace` in seconds."""
        self._group = group
        self._grace = grace
        self.kill_at: float | None = None
        """When SIGKILL is due, by time.monotonic(); None before the beginning and after the SIGKILL."""

    def begin(self) -> None:
        """Ask the group to end. A stopped process is continued, or it would not see the request."""
        self.kill_at = time.monotonic() + self._grace
        for number in (signal.SIGTERM, signal.SIGCONT):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, number)

    def escalate_if_due(self) -> None:
        """Kill the group once the grace is over."""
        if self.kill_at is not None and time.monotonic() >= self.kill_at:
            self.kill_at = None
            kill_group(self._group)


def kill_group(group: int) -> None:
    """Send SIGKILL to a process group whose leader has not been reaped, so that its number can't be another's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def living_members(group: int) -> list[int]:
    """Give the pids in a process group that are not zombies; an empty list where there is no /proc."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # Fields after the command in parentheses: state, parent, group (proc_pid_stat(5)).
        with contextlib.suppress(OSError):
            state, _, its_group, *_ = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(its_group) == group and state not in "ZX":
                members.append(int(stat.parent.name))
    return members
