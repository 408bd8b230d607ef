"""The control commands of a worker: cancel an execution, tell of executions and launchers."""

from __future__ import annotations

import atexit
import logging
import os
from typing import Any, Final

from celery import Celery
from celery.worker import state as worker_state
from celery.worker.control import control_command, inspect_command

from attune_tasks._celery.cancelled_ids import note
from attune_tasks._celery.control_names import CANCEL, LAUNCHERS, LEAK_CHECK
from attune_tasks._celery.control_names import EXECUTIONS as LIST_EXECUTIONS
from attune_tasks._celery.ending_request import EndingRequest, end_what_is_left
from attune_tasks._celery.executions_here import EXECUTIONS
from attune_tasks._celery.launchers_seen import launchers_below
from attune_tasks._celery.pool_channels import CHANNELS
from attune_tasks._celery.shared_notes import notes_left
from attune_tasks._celery.whole_log_lines import fork_between_log_lines
from attune_tasks.ids import ID_BITS
from attune_tasks.log_fields import about
from attune_tasks.settings.credentials import credential_variables

__all__ = ["attune_cancel", "attune_executions", "attune_launchers", "attune_leak_check", "read_notes", "ready"]

logger: Final = logging.getLogger("attune_tasks.worker")


@control_command(name=CANCEL, args=[("execution_id", str)], signature="<execution_id>")
def attune_cancel(state: Any, execution_id: str, **_: Any) -> dict[str, str]:
    """Cancel an execution by its id, whether it runs, waits or is yet to come."""
    if not str(execution_id).isdecimal() or not 0 < int(execution_id) < 1 << ID_BITS:
        return {"error": "an execution id is a decimal number from 1 to 2**63 - 1"}
    number = int(execution_id)
    requests = _requests_of(number)
    is_running = EXECUTIONS.runs(number)
    note(number)
    CHANNELS.send(number, "cancelled")
    uses_event_loop = bool(state.consumer.controller.use_eventloop)
    waiting = [request for request in requests if not request.may_run(uses_event_loop=uses_event_loop)]
    for request in waiting:
        request.end_before_start()
    outcome = "cancelling" if is_running or len(requests) > len(waiting) else "cancelled" if waiting else "noted"
    fields = requests[0].log_fields if requests else about(number)
    logger.info("execution %s: cancel, %s", number, outcome, extra=fields)
    return {"ok": outcome}


@inspect_command(name=LAUNCHERS)
def attune_launchers(state: Any, **_: Any) -> dict[str, Any]:  # noqa: ARG001 - Celery's own
    """Tell of the launchers of this worker, and which of its variables look like credentials, by name."""
    launchers = [launcher.to_dict() for launcher in launchers_below(os.getpid())]
    return {"ok": {"launchers": launchers, "credentials": credential_variables(os.environ)}}


@inspect_command(name=LIST_EXECUTIONS)
def attune_executions(state: Any, **_: Any) -> dict[str, Any]:  # noqa: ARG001 - Celery's own
    """Tell of the executions that this worker has."""
    requests = {*worker_state.active_requests, *worker_state.reserved_requests, *_scheduled()}
    return {"ok": [request.told() for request in requests if isinstance(request, EndingRequest)]}


@control_command(name=LEAK_CHECK)
def attune_leak_check(state: Any, **request: Any) -> dict[str, Any]:
    """Take part in a check, where the settings allow it."""
    from attune_tasks._celery.leaks.main_side import MAIN_SIDE  # hardly any worker needs it

    return {"ok": MAIN_SIDE.answer(state, request)}


def _requests_of(execution_id: int) -> list[EndingRequest]:
    """Give the requests of an execution that this worker has: of an attempt that ends now, and of the next one.

    Not by Celery's own table, which knows one for each task, and forgets that when any of them ends.
    """
    requests = {*worker_state.active_requests, *worker_state.reserved_requests, *_scheduled()}
    return [
        request
        for request in requests
        if isinstance(request, EndingRequest) and request.execution_id == execution_id and not request.has_ended
    ]


def _scheduled() -> Any:
    return worker_state.scheduled_requests  # type: ignore[attr-defined]  # not in its stubs


def ready() -> None:
    """Ready a worker's main process: a channel to each pool process, and an end for what runs when it ends itself."""
    fork_between_log_lines()  # before the channels' hooks, for these log while they hold a lock
    CHANNELS.open()
    main = os.getpid()
    atexit.register(lambda: end_what_is_left() if os.getpid() == main else None)


def read_notes(app: Celery) -> None:
    """Take over the notes that were left in the shared state."""
    try:
        found = notes_left(app)
    except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL; the worker can work
        logger.warning("what was cancelled before this worker started can't be read: %s", type(error).__name__)
        return
    for execution_id in reversed(found):
        note(execution_id)
    if found:
        logger.info("%s executions were cancelled before this worker started", len(found))
