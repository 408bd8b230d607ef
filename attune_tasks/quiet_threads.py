"""Threads that no signal is ever delivered to.

A signal for a process goes to any of its threads that does not block it. billiard blocks SIGTERM in the main thread of
a pool process while that holds a lock of the whole pool: another thread which takes the signal then leaves the pool
locked for good.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

__all__ = ["start_quiet_thread"]


def start_quiet_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a daemon thread with all signals blocked: it inherits that from this one, which gets its own mask back."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    if not hasattr(signal, "pthread_sigmask"):  # no POSIX
        thread.start()
        return thread
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return thread
