"""The surface "events": all that Celery's monitors are sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.leaks.base import ListeningSurface
from attune_tasks.leaks import Row, Seeker, Watched

__all__ = ["EventsSurface"]

_LAST_EVENTS: Final = frozenset({"task-succeeded", "task-failed", "task-revoked", "task-rejected", "task-retried"})
_REST_SECONDS: Final = 2
_POLL_SECONDS: Final = 0.1
_KNOWN_AT_MOST: Final = 100_000


class EventsSurface(ListeningSurface):
    """Receives all events; those of others are searched, and not kept."""

    def __init__(self, app: Celery, seeker: Seeker) -> None:
        """Receive none yet."""
        super().__init__("events", seeker)
        self._app = app
        self._seen: set[str] = set()
        self._ended: set[str] = set()

    def begin(self) -> None:
        """Receive them from now on."""
        self._listen(self._receive, "the broker")

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Wait for the last event of each execution, and say where none came."""
        wanted = {each.task_id for each in executions if each.is_over}
        deadline = time.monotonic() + _REST_SECONDS
        while not wanted <= self._ended and self._is_listening() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS / 4)
        for runtime in dict.fromkeys(each.runtime for each in executions):
            tasks = {each.task_id for each in executions if each.runtime == runtime}
            if not tasks & self._seen:
                self._not_looked_at(
                    "no event of these executions came: start the worker with -E (worker_send_task_events)", runtime
                )
            elif not tasks <= self._ended:
                self._partly("the last event of an execution did not come in time", runtime)
        return super().end(executions)

    def _receive(self, ready: Callable[[], None]) -> None:
        with self._app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_REST_SECONDS)
            receiver: Any = self._app.events.Receiver(connection, handlers={"*": self._take})
            with receiver.consumer_context(wakeup=False) as (used, _, _):
                while not self._stopping.is_set():
                    with suppress(TimeoutError):
                        used.drain_events(timeout=_POLL_SECONDS)
                    ready()  # Redis is not subscribed to before the first look

    def _take(self, event: dict[str, Any]) -> None:
        kind = str(event.get("type"))
        for name, value in event.items():
            text = value if isinstance(value, str) else json.dumps(value, default=repr)
            self._search(text, f"event {kind}, field {name}")
        task_id = event.get("uuid")
        if kind.startswith("task-") and isinstance(task_id, str) and len(self._seen) < _KNOWN_AT_MOST:
            self._seen.add(task_id)
            if kind in _LAST_EVENTS:
                self._ended.add(task_id)
