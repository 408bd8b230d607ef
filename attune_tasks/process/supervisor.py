"""Runs one child from its start to its end: feeds it, reads it, and sees to it that nothing of it is left."""

from __future__ import annotations

import os
import select
import time
from datetime import UTC, datetime
from typing import Final

from attune_tasks.errors import StartError
from attune_tasks.process.control import Control
from attune_tasks.process.ending import Ending
from attune_tasks.process.launcher import Launcher
from attune_tasks.process.launcher_words import Said
from attune_tasks.process.live import Live
from attune_tasks.process.outcome import Outcome, Supervision
from attune_tasks.process.output import TailBuffer
from attune_tasks.process.program import Pipes, Program

__all__ = ["run_program"]

_READ_BYTES: Final = 1 << 16
_DRAIN_SECONDS: Final = 0.5
"""How long output is awaited after the child's end from what it left behind (``exec > >(tee log)`` needs a moment)."""
_LONGEST_WAIT: Final = 1.0
"""So often, in seconds, it is looked whether the action has stopped its launcher, and while it is ended more often."""
_LONGEST_WAIT_FOR_KILL: Final = 0.1
_STOPPED_TOO_OFTEN: Final = 3
_OUTPUTS: Final = ("stdout", "stderr", "control")
_CONTROL_READS: Final = 18
"""Reads that take all that a pipe can hold: 64 KiB, or the MiB to which an ordinary user may widen it, and a bit."""


def run_program(
    launcher: Launcher, program: Program, supervision: Supervision, timeout: float | None = None, name: str = "a child"
) -> Outcome:
    """Have `launcher` start `program`, and give its outcome once all that it started is gone.

    `timeout` is in seconds from the start of the child. Whatever interrupts this function (a signal handler that
    raises, say) kills everything first. Raises StartError where the program can't be started.
    """
    return _Run(launcher, program, supervision, timeout, name).outcome()


class _Run:
    """One child under supervision, in one thread and without any other."""

    def __init__(
        self, launcher: Launcher, program: Program, supervision: Supervision, timeout: float | None, name: str
    ) -> None:
        self._launcher = launcher
        self._program = program
        self._supervision = supervision
        self._timeout = timeout
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._ending = Ending(launcher, supervision.grace, name)
        self._timed_out = self._cancelled = self._lapsed = False
        self._lease = supervision.cancellation.lease if supervision.cancellation is not None else None
        self._leased_until = 0.0
        self._status: int | None = None
        self._exited = self._over = False
        self._stopped = 0
        self._look_at = self._started + self._longest_wait()
        self._problem: StartError | None = None
        self._left_behind: list[tuple[int, int]] = []
        self._streams: dict[str, TailBuffer] = {}
        self._control = Control()
        self._live = None if supervision.live is None else Live(supervision.live, supervision.output_filter)
        self._unsent = {"stdin": memoryview(program.stdin), "wrapper_input": memoryview(program.wrapper_input or b"")}
        self._names: dict[int, str] = {}
        self._poll = select.poll()
        waiting = launcher.standby.begin(program)
        self._standing_by = waiting is not None
        """Whether the program was started ahead, as far as we know."""
        if waiting is not None and program.ahead is not None:
            self._unsent["stdin"] = memoryview(program.ahead.line + program.stdin)
        self._pipes = waiting or Pipes(program)

    def outcome(self) -> Outcome:
        """Supervise to the end."""
        self._launcher.begin(standing_by=self._standing_by)
        try:
            self._register(self._launcher.fileno(), "launcher", select.POLLIN)
            if self._standing_by:
                self._go()
            else:
                self._start()
            self._renew_lease()
            self._watch()
            self._launcher.standby.prepare(self._program, self._launcher.stand_by)
            self._until_exit()
            self._until_drained()
        finally:
            try:
                self._until_over()
                self._read_rest()
            finally:
                self._pipes.close_all()
        if self._problem is not None:
            raise self._problem
        ended = time.monotonic()
        if self._live is not None:
            self._live.finish()
        raw_stdout = self._streams["stdout"].raw()
        stdout, stdout_truncated = self._streams["stdout"].finish()
        stderr, stderr_truncated = self._streams["stderr"].finish()
        return Outcome(
            return_code=self._status,
            timed_out=self._timed_out,
            cancelled=self._cancelled,
            lapsed=self._lapsed,
            stdout=stdout,
            stderr=stderr,
            stdout_truncated=stdout_truncated,
            stderr_truncated=stderr_truncated,
            control=self._control,
            raw_stdout=raw_stdout,
            left_behind=tuple(self._left_behind),
            started_at=self._started_at,
            finished_at=datetime.now(UTC),
            duration_ms=round((ended - self._started) * 1000),
        )

    def _start(self) -> None:
        """Have the program started."""
        try:
            self._launcher.run(self._program, self._pipes)
        except StartError:
            self._lost()
            raise
        finally:
            self._pipes.handed_over()
        for name in ("wrapper_input", "stdin"):
            self._send(name)  # a short line fits into the pipe, and needs no turn of the loop

    def _go(self) -> None:
        """Have the program that waits go on; the launcher is told before it is, see `discard` there."""
        try:
            self._launcher.run_standby()
        except StartError:
            self._lost()
            raise
        self._send("stdin")

    def _start_after_all(self) -> None:
        """Have the program started, for the launcher says that none waited: nothing has begun."""
        self._standing_by = False
        if self._ending.begun:
            self._lost()
            return
        for name in list(self._pipes.ends):
            self._forget(name)
        self._unsent["stdin"] = memoryview(self._program.stdin)
        self._pipes = Pipes(self._program)
        self._start()
        self._register_pipes()

    def _watch(self) -> None:
        """Make ready for what the child writes, while it starts."""
        keep, output_filter = self._supervision.keep_bytes, self._supervision.output_filter
        self._streams = {name: TailBuffer(keep, output_filter, name) for name in ("stdout", "stderr")}
        self._register_pipes()
        if self._supervision.cancellation is not None:
            self._register(self._supervision.cancellation.fileno(), "cancel", select.POLLIN)

    def _register_pipes(self) -> None:
        for name, descriptor in self._pipes.ends.items():
            self._register(descriptor, name, select.POLLIN if name in _OUTPUTS else select.POLLOUT)

    def _register(self, descriptor: int, name: str, events: int) -> None:
        self._names[descriptor] = name
        self._poll.register(descriptor, events)

    def _until_exit(self) -> None:
        deadline = None if self._timeout is None else self._started + self._timeout
        while not self._exited:
            self._turn(self._ending.due if self._ending.begun else deadline)
            self._resume_if_due()
            self._ending.escalate_if_due()
            if deadline is not None and time.monotonic() >= deadline:
                self._end(timed_out=True)

    def _until_drained(self) -> None:
        """Leave what the child had started the rest of the grace, or a moment; its output ends with it."""
        drained = time.monotonic() + _DRAIN_SECONDS
        while not self._over and time.monotonic() < (due := self._ending.due or drained):
            if not self._ending.begun and not any(name in self._pipes.ends for name in _OUTPUTS):
                return
            self._turn(due)
            self._resume_if_due()
        self._ending.escalate_if_due()

    def _until_over(self) -> None:
        """Kill what is left."""
        if not self._over:
            self._ending.kill()
        while not self._over:
            self._turn(self._ending.due)
            self._resume_if_due()
            self._ending.escalate_if_due()

    def _resume_if_due(self) -> None:
        """Continue a launcher that was stopped; one that is stopped as often as it is continued is given up.

        By the clock, whatever the action prints meanwhile.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + self._longest_wait()
        self._renew_lease()
        if self._launcher.resume():
            self._stopped += 1
            if self._stopped == _STOPPED_TOO_OFTEN:
                self._ending.abandon()

    def _renew_lease(self) -> None:
        if self._lease is not None and (until := self._lease.until()) != self._leased_until:
            self._leased_until = until
            self._launcher.lease(until)

    def _longest_wait(self) -> float:
        longest = _LONGEST_WAIT if self._lease is None else min(_LONGEST_WAIT, self._lease.interval)
        return _LONGEST_WAIT_FOR_KILL if self._ending.begun else longest

    def _end(self, *, timed_out: bool = False, cancelled: bool = False) -> None:
        if not (self._timed_out or self._cancelled):
            if not self._exited:  # else it was quicker, and what it left behind is ended
                self._timed_out, self._cancelled = timed_out, cancelled
            self._ending.begin()
            self._look_at = min(self._look_at, time.monotonic() + _LONGEST_WAIT_FOR_KILL)

    def _turn(self, due: float | None) -> None:
        """Serve what is ready, or wait for it until `due`, but no longer than launcher and live output may."""
        wait = self._longest_wait()
        for each in (due, None if self._live is None else self._live.due):
            if each is not None:
                wait = min(max(0.0, each - time.monotonic()), wait)
        for descriptor, _ in self._poll.poll(wait * 1000):
            name = self._names.get(descriptor)
            if name in _OUTPUTS:
                self._receive(name)
            elif name == "launcher":
                self._hear()
            elif name == "cancel":
                self._poll.unregister(descriptor)
                self._end(cancelled=True)
            elif name is not None:
                self._send(name)
        if self._live is not None:
            if self._live.due is not None and self._live.due <= time.monotonic():
                self._read_control()
            self._live.send_if_due()

    def _read_control(self) -> None:
        """Read all that is in the control channel.

        What a child prints after it has named a value to be masked may have been read already, for streams have no
        order among each other. But then that message is in the channel by now, and is taken before anything is shown.
        """
        for _ in range(_CONTROL_READS):
            if "control" not in self._pipes.ends or not self._receive("control"):
                return

    def _hear(self) -> None:
        """Take what the launcher has said. It runs as the action's user: words out of place are ignored."""
        try:
            lines = self._launcher.read()
        except BlockingIOError:
            return
        if lines is None:
            self._lost()
            return
        for said in lines:
            self._lapsed |= said.word == "lapsed"
            if said.word == "exited" and not self._exited:
                self._exited = True
                self._status = _return_code(said.number)
                self._over = said.rest == "-"
            elif said.word == "gone":
                self._exited = self._over = True
                self._left_behind = said.left_behind()
                if self._left_behind:
                    self._left_behind = self._launcher.clear(self._left_behind)
                    return
            elif said.word == "absent" and self._standing_by and not self._exited:
                self._start_after_all()
            elif said.word == "failed" and not self._exited:
                self._exited = self._over = True
                self._problem = self._start_problem(said)
        if self._over:
            self._launcher.finished()

    def _lost(self) -> None:
        """Take over from a launcher that has ended: what was below it has fallen to us."""
        self._exited = self._over = True
        self._left_behind = self._launcher.take_over()

    def _start_problem(self, said: Said) -> StartError:
        what = self._program.argv[0] if self._program.argv else "a fork"
        where = self._program.working_dir or self._launcher.folder
        why = os.strerror(said.number) if said.number else f"the launcher can't fork ({said.rest})"
        return StartError(f"{what} could not be started in {where}: {why}")

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
            for value in self._control.take_masks():
                self._supervision.output_filter.add(value)
            if self._live is not None and (progress := self._control.take_progress()) is not None:
                self._live.progress(progress)
        else:
            self._streams[name].append(data)
            if self._live is not None:
                self._live.output(name, data)
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
        for name in _OUTPUTS if self._streams else ():
            # Bounded: what could not be killed may still be writing, without end.
            for _ in range(64):
                if name not in self._pipes.ends or not self._receive(name):
                    break


def _return_code(status: int) -> int | None:
    try:
        return os.waitstatus_to_exitcode(status)
    except (ValueError, OverflowError):  # it may say anything
        return None
