"""Which executions exist: an id that a caller gives must be new, and a key of its own finds the one that it made.

With a Redis for shared state, ``enqueue`` notes each id there, in one step, which only one caller can be the first to
do; it takes 0.2 ms of an enqueue's 1.7. Without it, the result backend knows what has started or ended; of two that
wait in a queue it knows nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from celery import Celery, states

from attune_tasks._celery import capturing
from attune_tasks._celery.claims.store import record_store
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.result_expiry import kept_seconds
from attune_tasks._celery.shared_state import shared_state
from attune_tasks.errors import ExecutionExistsError, SettingsError
from attune_tasks.ids import execution_id_of

__all__ = ["first_of_key", "note_id"]

_LONGEST_SECONDS: Final = 10 * 365 * 86400


@contextmanager
def note_id(app: Celery, task_id: str, action_ref: str, *, given: bool, delay: float) -> Iterator[None]:
    """Take an id for as long as a result is kept, and for `delay` seconds more; give it back where sending it fails.

    Raises ExecutionExistsError for one that was `given` by the caller and exists.
    """
    if capturing.catches(action_ref):
        yield
        return
    store = record_store(app)
    execution_id = execution_id_of(task_id)
    if store:
        seconds = min(_LONGEST_SECONDS, int(kept_seconds(app) + max(0.0, delay)) + 1)
        what = json.dumps({"ref": action_ref, "task_id": task_id}, separators=(",", ":"))
        listed = state_of(app).loaded.settings.claims.enabled
        try:
            is_free = store.note(execution_id, what, seconds, listed=listed)
        except BaseException:
            with suppress(Exception):  # it may have been noted, and only the answer got lost
                store.forget(execution_id)
            raise
        if not is_free:
            _refuse(task_id)
    try:
        if given and _backend_knows(app, task_id):
            _refuse(task_id)
        yield
    except BaseException:
        if store:
            store.forget(execution_id)
        raise


@contextmanager
def first_of_key(app: Celery, action_ref: str, key: str, task_id: str, seconds: float) -> Iterator[str | None]:
    """Give the task id of the execution that was made with this `key` in the last `seconds`; None: it is `task_id` now.

    Given back where sending it fails. Raises SettingsError where there is no shared state, which alone knows.
    """
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


def _backend_knows(app: Celery, task_id: str) -> bool:
    try:
        return bool(app.backend.get_state(task_id) != states.PENDING)
    except (NotImplementedError, AttributeError):  # no result backend
        return False


def _refuse(task_id: str) -> None:
    msg = (
        f"the execution {execution_id_of(task_id)} exists already, as task {task_id}:"
        " leave execution_id out to have a new one, or take the old one up by Handle.from_task_id()"
    )
    raise ExecutionExistsError(msg)
