"""Which executions exist: an id that a caller gives must be new, and a key of its own finds the one that it made.

With a Redis for shared state each id is noted there when its message goes out, see :mod:`.noting`. Without it, the
result backend knows what has started or ended; of two that wait in a queue it knows nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from celery import Celery, states

from attune_tasks._celery import capturing
from attune_tasks._celery.noting import refuse_known
from attune_tasks._celery.shared_state import shared_state
from attune_tasks.errors import SettingsError

__all__ = ["KEY_SECONDS", "first_of_key", "refuse_ended"]

KEY_SECONDS: Final = 86_400.0
"""For which a key holds, where nothing else is said."""


def refuse_ended(app: Celery, task_id: str) -> None:
    """Raise ExecutionExistsError where the result backend knows an execution."""
    try:
        is_known = app.backend.get_state(task_id) != states.PENDING
    except (NotImplementedError, AttributeError):  # no result backend
        return
    if is_known:
        refuse_known(task_id)


@contextmanager
def first_of_key(app: Celery, action_ref: str, key: str | None, task_id: str, seconds: float) -> Iterator[str | None]:
    """Give the task id of the execution that was made with this `key` in the last `seconds`; None: it is `task_id` now.

    So it is without a `key`, too, and where calls are captured. Given back where sending it fails. Raises ValueError,
    and SettingsError where there is no shared state, which alone knows.
    """
    if key is None or capturing.catches(action_ref):
        yield None
        return
    if not isinstance(key, str) or not key or not seconds > 0:
        msg = "an idempotency_key is text that is not empty, and holds for a number of seconds above 0"
        raise ValueError(msg)
    state = shared_state(app)
    if state is None:
        msg = "idempotency_key needs a Redis for shared state: set state_url, or take Redis for the result backend"
        raise SettingsError(msg)
    client: Any = state.client
    # A digest: a key may be long, and whatever it says need not stand there.
    name = state.key("idempotency", hashlib.sha256(f"{action_ref}\0{key}".encode()).hexdigest())
    try:
        while not client.set(name, task_id, nx=True, px=max(1, round(seconds * 1000))):
            first = client.get(name)
            if first is not None and first.decode() != task_id:  # else it has expired between the two
                yield first.decode()
                return
            if first is not None:
                break  # ours: the client has asked twice, for the first answer got lost
        yield None
    except BaseException:
        with suppress(Exception):
            if client.get(name) == task_id.encode():
                client.delete(name)
        raise
