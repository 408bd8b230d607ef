"""Has a worker note how it stands, from the loop that takes messages: where that loop hangs, nothing is noted."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, Final

from celery import Celery, bootsteps, signals
from celery.worker import state as worker_state

from attune_tasks._celery.health.note import NOTE_SECONDS, HealthNote, write_note
from attune_tasks._celery.per_app import state_of

__all__ = ["HealthStep", "ready"]

logger: Final = logging.getLogger("attune_tasks.worker")


class HealthStep(bootsteps.StartStopStep):
    """Notes while the worker consumes. It is stopped and started again with each connection to the broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        """Note nothing yet."""
        super().__init__(parent, **options)
        self._path: Path = state_of(parent.app).loaded.settings.health_file  # type: ignore[assignment]  # see ready()
        self._parent = parent
        self._timer: Any = None
        self._received = 0
        self._queues: set[str] = set()
        self._stopping = self._failed = False
        blocking = _is_solo(parent.pool)
        signals.task_received.connect(self._count)
        signals.worker_shutting_down.connect(self._stop_is_near)
        if blocking:
            signals.task_prerun.connect(self._note_now)
            signals.task_postrun.connect(self._note_now)
        self._blocking = blocking

    def start(self, parent: Any) -> None:
        """Begin, or go on."""
        self._note()
        self._timer = parent.timer.call_repeatedly(NOTE_SECONDS, self._note)

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's own
        """Pause: there is no connection, or the worker ends."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    terminate = stop

    def _count(self, **_: Any) -> None:
        self._received += 1

    def _stop_is_near(self, **_: Any) -> None:
        self._stopping = True  # the next note says so; a signal handler is no place to write a file

    def _note_now(self, **_: Any) -> None:
        self._note()

    def _note(self) -> None:
        """Write a note. One that can't be written costs the looks by it, not the worker."""
        app: Celery = self._parent.app
        self._queues |= set(app.amqp.queues.consume_from)
        note = HealthNote(
            at=time.monotonic(),
            received=self._received,
            started=worker_state.all_total_count[0],
            busy=len(worker_state.active_requests),
            slots=int(self._parent.pool.num_processes or 1),
            queues=tuple(sorted(self._queues)),
            blocking=self._blocking,
            stopping=self._stopping,
        )
        try:
            write_note(self._path, note)
        except OSError as error:
            if not self._failed:
                logger.warning("health_file: %s can't be written: %s", self._path, error.strerror)
            self._failed = True
        else:
            self._failed = False


def ready(app: Celery) -> None:
    """Have a worker that is about to be made note how it stands, where the settings say so."""
    if state_of(app).loaded.settings.health_file is not None:
        app.steps["consumer"].add(HealthStep)


def _is_solo(pool: Any) -> bool:
    return type(pool).__module__.rpartition(".")[2] == "solo"
