"""The thread of a worker's process that writes records: one after the other, again where the database is away."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from django.db import InterfaceError, OperationalError, connections

from attune_tasks.quiet_threads import start_quiet_thread

__all__ = ["Writer"]

logger: Final = logging.getLogger("attune_tasks.django")

_WAITING_AT_MOST: Final = 1000
_CLOSE_SECONDS: Final = 2.0
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 15.0
_IDLE_SECONDS: Final = 30.0
"""After which the connection is closed, and what is left over is looked after."""
_BUSY_SECONDS: Final = 60.0
"""After which it is looked after by a writer that is never idle, between two records."""
_LEFT_OVER: Final = "what was left over"


class Writer:
    """A bounded queue, and a thread that is started with the first record."""

    def __init__(self, app: Any) -> None:
        """Connect to nothing yet. `app` is the Celery app, for what is looked after beside."""
        self._app = app
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._dropped = 0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def soon(self, what: str, write: Callable[[], None]) -> None:
        """Have something written; returns at once. Of more than a thousand the oldest is dropped."""
        with self._changed:
            if len(self._waiting) >= _WAITING_AT_MOST:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append((what, write))
            self._changed.notify_all()
            if self._thread is None or not self._thread.is_alive():
                self._thread = start_quiet_thread(self._run, "attune-records")

    def close(self) -> None:
        """Wait for what is left, two seconds at most. What is not written the result backend has."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
            if self._thread is not None:
                self._changed.wait_for(lambda: not self._waiting and not self._busy, _CLOSE_SECONDS)
            if self._waiting:
                logger.warning("%d records are not written: the database did not take them", len(self._waiting))

    def _run(self) -> None:
        looked = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing.is_set(), _IDLE_SECONDS)
                has_some = bool(self._waiting)
                if self._closing.is_set() and not has_some:
                    self._thread = None
                    break
                what, write = self._waiting.popleft() if has_some else (_LEFT_OVER, self._look_after)
                dropped, self._dropped = self._dropped, 0
                self._busy = has_some
            if dropped:
                logger.warning("%d records were dropped: the database is too slow, or away", dropped)
            self._insist(what, write)
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                is_busy = has_some and not self._closing.is_set()
            if is_busy and time.monotonic() - looked > _BUSY_SECONDS:
                self._insist(_LEFT_OVER, self._look_after)
                has_some = False  # what it opened is closed, as when idle
            if not has_some:
                looked = time.monotonic()
                connections.close_all()
        connections.close_all()

    def _insist(self, what: str, write: Callable[[], None]) -> None:
        """Write one record, again and again while the database is away and there is room for others."""
        pause = _FIRST_PAUSE
        while True:
            try:
                write()
            except (OperationalError, InterfaceError) as error:
                connections.close_all()
                self._say(what, error, once=pause == _FIRST_PAUSE)
                if what == _LEFT_OVER or self._is_full():
                    return
            except Exception as error:  # noqa: BLE001 - a missing table, say; or a fault, which must not end the thread
                connections.close_all()
                self._say(what, error, once=True)
                return
            else:
                return
            if self._closing.wait(pause):  # then there are two seconds left, for all
                time.sleep(_FIRST_PAUSE)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _is_full(self) -> bool:
        with self._changed:
            return len(self._waiting) >= _WAITING_AT_MOST

    def _say(self, what: str, error: Exception, *, once: bool) -> None:
        if once:  # by its class alone: texts may quote values
            logger.warning("%s can't be written to the database: %s", what, type(error).__name__)

    def _look_after(self) -> None:
        from attune_tasks.contrib.django.keeping import look_after

        look_after(self._app)
