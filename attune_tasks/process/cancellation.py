"""A request to end an execution, made from another thread or from a signal handler."""

from __future__ import annotations

import os
import threading
from typing import Protocol

__all__ = ["Cancellation", "Lease"]


class Lease(Protocol):
    """For how long an execution may run without news from its worker, which may be stopped."""

    interval: float
    """Seconds, after which :meth:`until` may give another time."""

    def until(self) -> float:
        """Give the time, by time.monotonic(), at which its launcher kills it by itself."""


class Cancellation:
    """Set once; the supervisor's selector wakes up from it at once. Close it when its execution is over."""

    def __init__(self) -> None:
        """Open the pipe behind it."""
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
        self._lock = threading.RLock()  # re-entrant: a signal handler may interrupt its own thread within cancel()
        self._closed = False
        self.requested = False
        self.lease: Lease | None = None
        """None: it may run for as long as its worker lives."""

    def cancel(self) -> None:
        """Ask for the end of the execution. Later calls change nothing."""
        with self._lock:
            if not self.requested and not self._closed:
                self.requested = True
                os.write(self._writer, b"x")

    def fileno(self) -> int:
        """Give the descriptor that becomes readable."""
        return self._reader

    def close(self) -> None:
        """Give both descriptors back."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._reader)
                os.close(self._writer)
