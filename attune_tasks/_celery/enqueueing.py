"""enqueue(): the public way to have an action run by a worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from celery import Celery
from celery._state import get_current_app  # what the proxy celery.current_app asks

from attune_tasks import tasks
from attune_tasks._celery import capturing
from attune_tasks._celery.callers import CALLER_HEADER
from attune_tasks._celery.handle import Handle
from attune_tasks._celery.known_ids import KEY_SECONDS, first_of_key, refuse_ended
from attune_tasks._celery.noting import must_be_new
from attune_tasks.ids import new_execution_id, task_id_of

__all__ = ["NewId", "app_or_default", "enqueue"]


class NewId(int):
    """An execution id that was made for this call: nobody has to be asked whether it is taken."""


def enqueue(  # noqa: PLR0913 - the options that a task message has
    ref: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    queue: str | None = None,
    countdown: float | None = None,
    eta: datetime | None = None,
    expires: float | datetime | None = None,
    priority: int | None = None,
    execution_id: int | None = None,
    caller: str | None = None,
    idempotency_key: str | None = None,
    idempotency_seconds: float = KEY_SECONDS,
    app: Celery | None = None,
) -> Handle:
    """Have a worker run the action `ref`, and give a handle.

    `parameters` and `env` are public: they stand in the broker as they are. `timeout` (seconds) may shorten the
    action's own; `countdown` and `expires` are in seconds, too. `caller` is who it was in the worker's log,
    by default ``user@host``. `idempotency_key`: another call for the same action with the same key, within
    `idempotency_seconds` of the first, sends nothing and gives the first one's handle. `app` is the Celery app: by
    default the current one, else the ready-made one.

    Raises UnknownActionError and InvalidParametersError where the packs are known here, ExecutionExistsError for an
    `execution_id` that is taken, ValueError for one that is not an int of 1 to 2**63 - 1, and SettingsError for an
    `idempotency_key` where there is no shared state.
    """
    options = {"queue": queue, "countdown": countdown, "eta": eta, "expires": expires, "priority": priority}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if caller is not None:
        given["headers"] = {CALLER_HEADER: caller}
    keywords: dict[str, Any] = {"env": _plain(env)} if env is not None else {}
    if timeout is not None:
        keywords["timeout"] = timeout
    app = app_or_default(app)
    task = app.tasks[tasks.NAME]
    task_id = task_id_of(new_execution_id() if execution_id is None else execution_id)
    with first_of_key(app, ref, idempotency_key, task_id, idempotency_seconds) as first:
        if first is not None:
            return Handle(app.AsyncResult(first), ref)
        # Of what is run at once no result is stored, and Celery warns of asking for one.
        is_asked = not (isinstance(execution_id, NewId) or capturing.catches(ref) or app.conf.task_always_eager)
        if execution_id is not None and is_asked:
            refuse_ended(app, task_id)
        with must_be_new(task_id):
            arguments = (ref, _plain(parameters) if parameters is not None else {})
            sent = task.apply_async(arguments, keywords, task_id, **given)
    return Handle(sent, ref)


def app_or_default(app: Celery | None) -> Celery:
    """Give `app`, else the current app, else the ready-made one."""
    if app is not None:
        return app
    current: Celery = get_current_app()
    # Where nobody made an app, Celery makes one of this name up, with a broker that is hardly there.
    if current.main != "default":
        return current
    from attune_tasks.app import app as ready_made

    return ready_made


def _plain(values: Mapping[str, Any]) -> Any:
    """Make a dictionary, which JSON knows, of any mapping; leave the rest to the check of the call."""
    return dict(values) if isinstance(values, Mapping) else values
