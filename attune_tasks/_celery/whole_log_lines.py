"""No fork in the midst of a line of the log.

Without Celery's event loop, a thread of the main process forks pool processes while others log. What a log handler
writes to has a lock of its own, which no forked process gets back: one that was forked while another thread held it
stands still at its own first line, and its slot with it. Python renews the handlers' locks in a fork, not those of
the streams behind them.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

__all__ = ["fork_between_log_lines"]

_LONGEST_WAIT: Final = 1.0
"""Seconds for each handler. One that takes longer for a line may wait for what the forking thread holds."""

_held = threading.local()
_hooks: list[bool] = []


def fork_between_log_lines() -> None:
    """Have each fork of this process, and of those forked from it, wait until no handler is writing. For good."""
    if not _hooks:
        _hooks.append(True)
        os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_let_go)


def _hold() -> None:
    _held.locks = [
        handler.lock
        for handler in _handlers()
        if handler.lock is not None and handler.lock.acquire(timeout=_LONGEST_WAIT)
    ]


def _let_go() -> None:
    for lock in getattr(_held, "locks", ()):
        with suppress(RuntimeError):  # in a fork logging has made it anew by now
            lock.release()
    _held.locks = []


def _handlers() -> Iterator[logging.Handler]:
    """Give the handlers of all loggers."""
    for logger in (logging.root, *list(logging.root.manager.loggerDict.values())):
        if isinstance(logger, logging.Logger):
            yield from list(logger.handlers)
