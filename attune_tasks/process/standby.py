"""The worker's end of a standby: a program that its launcher starts ahead of the execution which it waits for.

An interpreter's own start is most of what a short script takes. In a burst of executions of one program the launcher
starts the next one as soon as nothing of the last is left; it waits for its standard input, and knows nothing yet.
"""

from __future__ import annotations

import os
import select
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from attune_tasks.errors import StartError
from attune_tasks.process.program import Pipes, Program

__all__ = ["STANDBY_SECONDS", "Standby"]

STANDBY_SECONDS: Final = 1.0
"""For so long a launcher keeps one that nobody needs; and executions that follow each other sooner are a burst."""


class Standby:
    """What one launcher has started ahead, if anything, and whether it is to start the next."""

    def __init__(self, *, enabled: bool) -> None:
        """Begin with none; where it is not `enabled`, there never is one."""
        self.used = 0
        """How many executions had one."""
        self._enabled = enabled
        self._last: Any = None
        """What the last execution ran, as :meth:`Program.same_ahead` says it; what waits is the same."""
        self._ended = 0.0
        self._wanted = False
        self._pipes: Pipes | None = None

    def begin(self, program: Program) -> Pipes | None:
        """Note that an execution begins; give the pipes to the program that waits for just this, if there is one."""
        same = program.same_ahead() if self._enabled else None
        again = same is not None and same == self._last
        self._last = same
        self._wanted = again and time.monotonic() - self._ended < STANDBY_SECONDS
        pipes, self._pipes = self._pipes, None
        if pipes is None:
            return None
        if again and _is_read(pipes.ends["stdin"]):
            self.used += 1
            return pipes
        pipes.close_all()
        return None

    def prepare(self, program: Program, tell: Callable[[Program, Pipes], None]) -> None:
        """Have the next one started, where it is likely to be needed: `tell` hands its pipes to the launcher."""
        if not self._wanted:
            return
        self._wanted = False
        with suppress(OSError):  # no more descriptors: it does without
            self._pipes = pipes = Pipes(program)
            _WAITING.add(self)
            try:
                tell(program, pipes)
            except StartError:  # the launcher is gone, which reading tells
                self.close()
            finally:
                pipes.handed_over()

    def ended(self) -> None:
        """Note that an execution is over."""
        self._ended = time.monotonic()

    def close_in_time(self) -> None:
        """Close the pipes to what waits no longer."""
        if self._pipes is not None and time.monotonic() - self._ended > STANDBY_SECONDS:
            self.close()

    def close(self) -> None:
        """Close the pipes: what waits at their other ends then ends."""
        pipes, self._pipes = self._pipes, None
        if pipes is not None:
            pipes.close_all()


_WAITING: Final[weakref.WeakSet[Standby]] = weakref.WeakSet()


def _close_copies() -> None:
    """Close what a fork has copied: standard input would not end, and what waits would wait, as long as it lives."""
    for standby in list(_WAITING):
        standby.close()
    _WAITING.clear()


os.register_at_fork(after_in_child=_close_copies)


def _is_read(writer: int) -> bool:
    """Say whether somebody still has the other end of a pipe (POLLERR on the end that is written to, see poll(2))."""
    poll = select.poll()
    poll.register(writer, 0)
    return not poll.poll(0)
