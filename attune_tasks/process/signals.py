"""What a process that starts children does about signals which it ignores: exec would hand the ignoring on."""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["hand_on_no_ignored_signals"]


def hand_on_no_ignored_signals() -> None:
    """Put a handler that does nothing in the place of each SIG_IGN: it serves this process as well.

    exec sets a signal with a handler back to its default, and leaves an ignored one ignored. nohup ignores SIGHUP,
    billiard has its pool processes ignore SIGINT. subprocess itself takes care of SIGPIPE and SIGXFSZ. Python sets
    handlers in the main thread only: elsewhere this does nothing.
    """
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # the kernel would reap children, their exit code unread
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, _do_nothing)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Ignore the signal."""
