"""What is given for running one child, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from attune_tasks.process.cancellation import Cancellation
from attune_tasks.process.control import Control
from attune_tasks.process.launchers import Launchers
from attune_tasks.process.live import LiveSink
from attune_tasks.process.output import NoFilter, OutputFilter
from attune_tasks.process.start_guard import StartGuard

__all__ = ["Outcome", "Supervision"]


@dataclass(frozen=True, slots=True)
class Supervision:
    """The operator's side of an execution: what no action decides for itself."""

    grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""
    keep_bytes: int = 1 << 20
    """How much of the end of each stream is kept."""
    output_filter: OutputFilter = field(default_factory=NoFilter)
    cancellation: Cancellation | None = None
    launchers: Launchers | None = None
    """Where launchers come from; None: each execution has one of its own."""
    live: LiveSink | None = None
    """Gets what the child says while it runs, masked; None: nobody does."""
    guard: StartGuard | None = None
    """Looks at command line and environment before a child is started; None: nobody does."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended, and what it wrote. The two texts have gone through the filter; the other two have not."""

    return_code: int | None
    """As :mod:`subprocess` gives it: the exit code, or the negative number of the signal that ended it. None: nobody
    knows, for its launcher was lost."""
    timed_out: bool
    cancelled: bool
    lapsed: bool
    """Whether its launcher has ended it, for its lease was over."""
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool
    control: Control = field(repr=False)
    raw_stdout: bytes | None = field(repr=False)
    """All of stdout as it was written; None where it was longer than is kept."""
    left_behind: tuple[tuple[int, int], ...]
    """Pid and uid of each process that could not be killed."""
    started_at: datetime
    finished_at: datetime
    duration_ms: int
