"""Notes of cancelled executions in the shared state, for workers that were not there when it was said."""

from __future__ import annotations

import time
from typing import Final

from celery import Celery

from attune_tasks._celery.shared_state import shared_state

__all__ = ["leave_note", "notes_left"]

_KEPT_SECONDS: Final = 86_400
_READ_AT_MOST: Final = 10_000


def leave_note(app: Celery, execution_id: int) -> bool:
    """Leave a note for a day; give whether there is a place for it: a Redis (``state_url``, or the result backend)."""
    state = shared_state(app)
    if state is None:
        return False
    key, now = state.key("cancelled"), time.time()
    with state.client.pipeline(transaction=False) as pipeline:
        pipeline.zadd(key, {str(execution_id): now + _KEPT_SECONDS})
        pipeline.zremrangebyscore(key, "-inf", now)
        pipeline.expire(key, _KEPT_SECONDS)
        pipeline.execute()
    return True


def notes_left(app: Celery) -> list[int]:
    """Give the executions of which notes are left, the newest 10,000 of them. Raises what the client raises."""
    state = shared_state(app)
    if state is None:
        return []
    found = state.client.zrevrangebyscore(state.key("cancelled"), "+inf", time.time(), start=0, num=_READ_AT_MOST)
    return [int(each) for each in found if each.isdigit()]
