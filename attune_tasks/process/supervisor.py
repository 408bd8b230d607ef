"""Runs one child from its start to its end: feeds it, reads it, and sees to it that it ends."""

from __future__ import annotations

import contextlib
import os
import select
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from attune_tasks.process.cancellation import Cancellation
from attune_tasks.process.control import Control
from attune_tasks.process.ending import Ending, kill_group, living_members
from attune_tasks.process.output import NoFilter, OutputFilter, TailBuffer
from attune_tasks.process.program import Pipes, Program, start

__all__ = ["Outcome", "Supervision", "run_program"]

_READ_BYTES: Final = 1 << 16
_DRAIN_SECONDS: Final = 0.5
"""How long output is awaited after the child's end from what it left behind (``exec > >(tee log)`` needs a moment)."""
_POLL_SECONDS: Final = 0.02
"""How often things are looked at that no descriptor tells of."""
_LONGEST_WAIT: Final = 3600.0
_OUTPUTS: Final = ("stdout", "stderr", "control")


@dataclass(frozen=True, slots=True)
class Supervision:
    """The operator's side of an execution: what no action decides for itself."""

    grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""
    keep_bytes: int = 1 << 20
    """How much of the end of each stream is kept."""
    output_filter: OutputFilter = field(default_factory=NoFilter)
    cancellation: Cancellation | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended, and what it wrote. The two texts have gone through the filter; the other two have not."""

    return_code: int
    """As :mod:`subprocess` gives it: the exit code, or the negative number of the signal that ended it."""
    timed_out: bool
    cancelled: bool
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool
    control: Control = field(repr=False)
    raw_stdout: bytes | None = field(repr=False)
    """All of stdout as it was written; None where it was longer than is kept."""
    started_at: datetime
    finished_at: datetime
    duration_ms: int


def run_program(program: Program, supervision: Supervision, timeout: float | None = None) -> Outcome:
    """Start `program`, and give its outcome once it and its process group are gone.

    `timeout` is in seconds from the start of the child. Whatever interrupts this function (a signal handler that
    raises, say) kills the group first. Raises StartError where the program can't be started.
    """
    return _Run(start(program), program, supervision, timeout).outcome()


class _Run:
    """One child under supervision, in one thread and without any other."""

    def __init__(self, pipes: Pipes, program: Program, supervision: Supervision, timeout: float | None) -> None:
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._pipes = pipes
        self._supervision = supervision
        self._deadline = None if timeout is None else self._started + timeout
        self._pid = pipes.process.pid
        self._ending = Ending(self._pid, supervision.grace)
        self._timed_out = self._cancelled = self._exited = False
        self._streams = {
            name: TailBuffer(supervision.keep_bytes, supervision.output_filter) for name in ("stdout", "stderr")
        }
        self._control = Control()
        self._unsent = {"stdin": memoryview(program.stdin), "wrapper_input": memoryview(program.wrapper_input or b"")}
        self._names: dict[int, str] = {}
        self._poll = select.poll()

    def outcome(self) -> Outcome:
        """Supervise to the end."""
        try:
            for name in ("wrapper_input", "stdin"):
                self._send(name)  # a short line fits into the pipe, and needs no turn of the loop
            self._watch()
            self._until_exit()
            self._until_drained()
        finally:
            # Before the leader is reaped: until then nobody else can have its number.
            kill_group(self._pid)
            self._read_rest()
            self._pipes.close_all()
            return_code = self._pipes.process.wait()
        ended = time.monotonic()
        raw_stdout = self._streams["stdout"].raw()
        stdout, stdout_truncated = self._streams["stdout"].finish()
        stderr, stderr_truncated = self._streams["stderr"].finish()
        return Outcome(
            return_code=return_code,
            timed_out=self._timed_out,
            cancelled=self._cancelled,
            stdout=stdout,
            stderr=stderr,
            stdout_truncated=stdout_truncated,
            stderr_truncated=stderr_truncated,
            control=self._control,
            raw_stdout=raw_stdout,
            started_at=self._started_at,
            finished_at=datetime.now(UTC),
            duration_ms=round((ended - self._started) * 1000),
        )

    def _watch(self) -> None:
        for name, descriptor in self._pipes.ends.items():
            self._register(descriptor, name, select.POLLIN if name in _OUTPUTS else select.POLLOUT)
        if hasattr(os, "pidfd_open"):
            descriptor = os.pidfd_open(self._pid)
            self._pipes.ends["exit"] = descriptor
            self._register(descriptor, "exit", select.POLLIN)
        if self._supervision.cancellation is not None:
            self._register(self._supervision.cancellation.fileno(), "cancel", select.POLLIN)

    def _register(self, descriptor: int, name: str, events: int) -> None:
        self._names[descriptor] = name
        self._poll.register(descriptor, events)

    def _until_exit(self) -> None:
        while not self._exited:
            due = self._ending.kill_at or (None if self._timed_out or self._cancelled else self._deadline)
            if "exit" not in self._pipes.ends:
                due = min(due or float("inf"), time.monotonic() + _POLL_SECONDS)
            self._turn(due)
            self._exited = self._exited or ("exit" not in self._pipes.ends and self._has_exited())
            if self._exited:
                return
            self._ending.escalate_if_due()
            if self._deadline is not None and time.monotonic() >= self._deadline and not self._cancelled:
                self._end(timed_out=True)

    def _until_drained(self) -> None:
        drained = time.monotonic() + _DRAIN_SECONDS
        if self._ending.kill_at is not None:
            self._wait_for_group(self._ending.kill_at)
        while any(name in self._pipes.ends for name in _OUTPUTS) and time.monotonic() < drained:
            self._turn(drained)

    def _wait_for_group(self, kill_at: float) -> None:
        """Leave the rest of the grace to what the child had started: it got the SIGTERM, too."""
        while time.monotonic() < kill_at and living_members(self._pid):
            self._turn(min(kill_at, time.monotonic() + _POLL_SECONDS))

    def _end(self, *, timed_out: bool = False, cancelled: bool = False) -> None:
        if not (self._timed_out or self._cancelled):
            self._timed_out, self._cancelled = timed_out, cancelled
            self._ending.begin()

    def _turn(self, due: float | None) -> None:
        """Serve what is ready, or wait for it until `due`."""
        # Never longer than an hour at once: poll's milliseconds are a C int, which ends after 24 days.
        wait = None if due is None else min(max(0.0, due - time.monotonic()), _LONGEST_WAIT) * 1000
        for descriptor, _ in self._poll.poll(wait):
            name = self._names[descriptor]
            if name in _OUTPUTS:
                self._receive(name)
            elif name == "exit":
                self._exited = True
                self._forget("exit")
            elif name == "cancel":
                self._poll.unregister(descriptor)
                self._end(cancelled=True)
            else:
                self._send(name)

    def _receive(self, name: str) -> bool:
        """Read once; give whether there may be more."""
        try:
            data = os.read(self._pipes.ends[name], _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._forget(name)
            return False
        if name == "control":
            self._control.feed(data)
        else:
            self._streams[name].append(data)
            if len(data) == _READ_BYTES:  # it was full; for quiet children a large pipe costs more than it gives
                self._pipes.widen(name)
        return True

    def _send(self, name: str) -> None:
        if name not in self._pipes.ends:
            return
        try:
            written = os.write(self._pipes.ends[name], self._unsent[name])
            self._unsent[name] = self._unsent[name][written:]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the child closed it, or has ended: it does not want the rest
            self._unsent[name] = memoryview(b"")
        if not self._unsent[name]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        descriptor = self._pipes.ends[name]
        if self._names.pop(descriptor, None):
            self._poll.unregister(descriptor)
        self._pipes.close(name)

    def _read_rest(self) -> None:
        for name in _OUTPUTS:
            # Bounded: a descendant that left the group may still be writing, without end.
            for _ in range(64):
                if name not in self._pipes.ends or not self._receive(name):
                    break

    def _has_exited(self) -> bool:
        """Look without reaping, where the platform can."""
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self._pipes.process.poll() is not None
