"""Threads that no signal is ever delivered to.

A signal for a process goes to any of its threads that does not block it. billiard blocks SIGTERM in the main thread of
a pool process while that holds a lock of the whole pool: another thread which takes the signal then leaves the pool
locked for good.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["start_quiet_thread"]

_START_SECONDS: Final = 30.0


class _Started(threading.Event):
    """What ``Thread.start`` waits for. Where memory is out, a thread may end before it says that it has begun."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for no longer than a thread may take to begin."""
        if not super().wait(_START_SECONDS if timeout is None else timeout) and timeout is None:
            msg = f"a new thread did not begin within {_START_SECONDS:g} s: is there memory for it?"
            raise RuntimeError(msg)
        return self.is_set()


def start_quiet_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread with all signals blocked: it inherits that from this one, which gets its own mask back.

    Raises RuntimeError, as ``Thread.start`` does, where it can't be started, and where it does not begin.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread._started = _Started()  # type: ignore[attr-defined]  # noqa: SLF001 - so named from 3.11 to 3.14
    if not hasattr(signal, "pthread_sigmask"):  # no POSIX
        thread.start()
        return thread
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread
