"""Shows the scanner all log records of a process, from DEBUG on, without writing more into the process's own log."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
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
    """Begin; what this process logs is shown at `address` until :func:`hide_records`. Twice is once.

    That is what all loggers say that there are now, whatever level is set for each, and also those whose records do not
    come to the root, as Celery has it of ``celery.task``.
    """
    if _installed:
        return
    loggers = _loggers()
    levels = {each.name: each.level for each in loggers}
    others = list(dict.fromkeys(handler for each in loggers for handler in each.handlers))
    tops = [each for each in loggers if each.parent is None or not each.propagate]
    lowered = [each for each in loggers if each.level > logging.DEBUG]

    def as_before(record: logging.LogRecord) -> bool:
        return record.levelno >= _level_of(record.name, levels)

    handler = _Shown(address, main_pid)
    for other in others:
        other.addFilter(as_before)
    for logger in tops:
        logger.addHandler(handler)
    for logger in lowered:
        logger.setLevel(logging.DEBUG)

    def undo() -> None:
        for logger in lowered:
            logger.setLevel(levels[logger.name])
        for logger in tops:
            logger.removeHandler(handler)
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


def _loggers() -> list[logging.Logger]:
    named = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    return [logging.root, *named]


def _level_of(name: str, levels: Mapping[str, int]) -> int:
    """Give the level from which on a logger took records, with the `levels` that were set for it and those above it."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if level := levels.get(logger.name, logger.level):
            return level
        logger = logger.parent
    return logging.NOTSET


# A pool process that is forked in the midst of a check lives on after it.
os.register_at_fork(after_in_child=hide_records)
