"""Celery's state PROGRESS: stored over STARTED and over itself, and never over anything else.

A command that its sender gave up may still wait in front of a Redis that is slow or paused, and be done after others
that were sent later. So Redis itself looks at what is stored, in the same step: a PROGRESS that comes after the final
state is too late, whenever it was sent.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from celery import Task

from attune_tasks._celery.live_events import ProgressEvent
from attune_tasks._celery.shared_state import is_redis

__all__ = ["PROGRESS", "ProgressState"]

logger: Final = logging.getLogger("attune_tasks.worker")

PROGRESS: Final = "PROGRESS"
_SET: Final = """\
local stored = redis.call('GET', KEYS[1])
if not stored then return 0 end
local good, meta = pcall(cjson.decode, stored)
if not good or type(meta) ~= 'table' then return 0 end
if meta.status ~= 'STARTED' and meta.status ~= 'PROGRESS' then return 0 end
if ARGV[2] == '0' then
    redis.call('SET', KEYS[1], ARGV[1])
else
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
"""


class ProgressState:
    """Where one task's state is stored: its key in a Redis that is Celery's result backend."""

    __slots__ = ("_backend", "_request", "_task_id")

    def __init__(self, backend: Any, request: Any) -> None:
        """Take the task's backend and request; nothing is read yet."""
        self._backend = backend
        self._request = request
        self._task_id: str = request.id

    @classmethod
    def of(cls, task: Task[Any, Any]) -> ProgressState | None:
        """Give that of the task which runs; None where its backend is no Redis, or its result is not stored."""
        request: Any = task.request
        backend = task.app.backend
        if task.ignore_result or getattr(request, "ignore_result", False) or not is_redis(backend):
            return None
        return cls(backend, request)

    @property
    def client(self) -> Any:
        """The client of the result backend."""
        return self._backend.client

    def put(self, pipeline: Any, progress: ProgressEvent) -> None:
        """Add the command that stores it to a pipeline."""
        value = {"percent": progress.percent, "message": progress.message}
        meta = self._backend._get_result_meta(  # noqa: SLF001 - what Celery's own update_state stores
            result=value, state=PROGRESS, traceback=None, request=self._request
        )
        meta["task_id"] = self._task_id
        key = self._backend.get_key_for_task(self._task_id)
        pipeline.eval(_SET, 1, key, self._backend.encode(meta), int(self._backend.expires or 0))
