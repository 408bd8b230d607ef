"""The Celery task that runs actions: ``include=["attune_tasks.tasks"]`` brings it into an app.

It is called with JSON alone, so that any schedule can hold it::

    beat_schedule = {"close": {"task": "attune_tasks.run_action", "args": ["billing.close_month", {"month": 4}], …}}

or ``run_action.delay("billing.close_month", {"month": 4})``, which gives Celery's AsyncResult.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celery import Task, shared_task

from attune_tasks._celery import beat_start as _beat_start  # noqa: F401 - connects a signal of beat
from attune_tasks._celery import undumpable as _undumpable  # noqa: F401 - connects the signals of a worker
from attune_tasks._celery import worker as _worker  # noqa: F401 - the same
from attune_tasks._celery import worker_parts as _worker_parts  # noqa: F401 - the same
from attune_tasks._celery.calls import Call
from attune_tasks._celery.running import run
from attune_tasks._celery.sending import ActionTask
from attune_tasks.errors import ActionFailed

__all__ = ["NAME", "run_action"]

NAME: Final = "attune_tasks.run_action"


@shared_task(
    name=NAME,
    base=ActionTask,
    bind=True,
    throws=(ActionFailed,),  # an outcome, not a fault of the worker: Celery logs no traceback
    acks_late=False,  # a broker that loses its worker must not run an action twice
    ignore_result=False,
    track_started=False,  # stored with the claim in one step, or by `run`
    max_retries=None,  # the action's `retry:` says how often
    resultrepr_maxsize=200,  # for events and the log; the result's small fields stand first
)
def run_action(
    self: Task[Any, Any],
    ref: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Run the action `ref`; give ``ExecutionResult.to_dict()``, or raise ActionFailed with it."""
    return run(self, Call(ref, parameters, env, timeout))
