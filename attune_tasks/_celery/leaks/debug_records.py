"""Shows the scanner all log records of a process, from DEBUG on, without writing more into the process's own log."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from attune_tasks._celery.leaks.scanner_socket import connect_for_records

__all__ = ["debug_records", "hide_records", "show_records"]

_LONGEST: Final = 60_000
"""Bytes of a record that are shown; a message holds no more than the socket's buffer."""
_STANDARD: Final = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime"))
_installed: list[Callable[[], None]] = []


class _Shown(logging.Handler):
    """Sends each record, and drops it where nobody takes it: a worker never waits for the scanner."""

    def __init__(self, address: str, main_pid: int) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self._address = address
        self._main_pid = main_pid
        self._socket: socket.socket | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            more = {name: value for name, value in vars(record).items() if name not in _STANDARD}
            text = f"{self.format(record)} {more}" if more else self.format(record)
            text = text.encode(errors="replace")[:_LONGEST].decode(errors="ignore")
            data = json.dumps({"pid": os.getpid(), "text": text}, ensure_ascii=False).encode(errors="replace")
            if self._socket is None:  # in the first second the scanner is not there yet
                self._socket = connect_for_records(self._address, self._main_pid)
            if self._socket is not None:
                self._socket.send(data, socket.MSG_NOSIGNAL)
        except Exception:  # noqa: BLE001, S110 - as logging's own handlers: what is logged never fails for it
            pass

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        super().close()


def show_records(address: str, main_pid: int) -> None:
    """Begin; what this process logs is shown at `address` until :func:`hide_records`. Twice is once."""
    if _installed:
        return
    root = logging.getLogger()
    level = root.level
    others = _handlers()

    def as_before(record: logging.LogRecord) -> bool:
        return record.levelno >= level or (record.name != "root" and _has_own_level(record.name))

    handler = _Shown(address, main_pid)
    for other in others:
        other.addFilter(as_before)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)

    def undo() -> None:
        root.setLevel(level)
        root.removeHandler(handler)
        for other in others:
            other.removeFilter(as_before)
        handler.close()

    _installed.append(undo)


def hide_records() -> None:
    """End, and leave the loggers as they were."""
    while _installed:
        _installed.pop()()


@contextmanager
def debug_records(address: str, main_pid: int) -> Iterator[None]:
    """Show what is logged meanwhile, where it is not shown anyway."""
    if _installed:
        yield
        return
    show_records(address, main_pid)
    try:
        yield
    finally:
        hide_records()


def _handlers() -> list[logging.Handler]:
    """Give all there are: a logger with one of its own may take its level from the root all the same."""
    named = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    return list(dict.fromkeys(handler for each in (logging.root, *named) for handler in each.handlers))


def _has_own_level(name: str) -> bool:
    """Say whether a logger's level is its own, or that of one above it which is not the root."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None and logger.parent is not None:
        if logger.level:
            return True
        logger = logger.parent
    return False


# A pool process that is forked in the midst of a check lives on after it.
os.register_at_fork(after_in_child=hide_records)
