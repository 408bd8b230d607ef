"""Hears of executions. In a worker it hands on to a thread, so that no database is in an execution's way."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db import Error, transaction

from attune_tasks._celery.capturing import Enqueued
from attune_tasks._celery.observing import Begun, Observer
from attune_tasks._celery.per_app import state_of
from attune_tasks.contrib.django.options import django_options
from attune_tasks.contrib.django.writer import Writer

__all__ = ["RECORDER", "Recorder"]

logger: Final = logging.getLogger("attune_tasks.django")


class Recorder(Observer):
    """The observer of this process."""

    def __init__(self) -> None:
        """Write nothing yet."""
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._process = 0

    def enqueued(self, app: Any, sent: Enqueued) -> None:
        """Record a message that was sent by other means than this app's own ``enqueue``, or by it."""
        from attune_tasks.contrib.django.enqueueing import SENDER

        user = SENDER.get()
        self._record(app, f"enqueued {sent.execution_id}", lambda: _recording().record_enqueued(app, sent, user))

    def begun(self, app: Any, begun: Begun) -> None:
        """Record an attempt that begins."""
        self._record(app, f"begun {begun.execution_id}", lambda: _recording().record_begun(app, begun))

    def ended(self, app: Any, data: Mapping[str, Any]) -> None:
        """Record an end."""
        self._record(app, f"ended {data['execution_id']}", lambda: _recording().record_ended(data))

    def closing(self) -> None:
        """Give the thread a moment to write what it has."""
        if self._writer is not None and self._process == os.getpid():
            self._writer.close()

    def _record(self, app: Any, what: str, write: Callable[[], None]) -> None:
        if not django_options().record:
            return
        state = state_of(app)
        if state.worker_pid is not None or state.is_beat:
            self._own_writer(app).soon(what, write)
            return
        try:
            # A database whose own transaction is broken by this would take the caller's with it.
            with transaction.atomic(using=_recording().database_alias()):
                write()
        except Error as error:  # its text may quote values
            logger.warning("not recorded: %s: %s", what, type(error).__name__)

    def _own_writer(self, app: Any) -> Writer:
        with self._lock:
            if self._writer is None or self._process != os.getpid():  # a forked process makes its own
                self._writer, self._process = Writer(app), os.getpid()
            return self._writer


def _recording() -> Any:
    from attune_tasks.contrib.django import recording  # models can be imported when apps are loaded

    return recording


RECORDER: Final = Recorder()
