"""Looks after executions whose claim has expired, and after what was decided and not done. In any worker or client."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from typing import Any, Final

from celery import Celery, group, states
from celery.app.task import Context
from celery.canvas import maybe_signature

from attune_tasks._celery.claims.following import name_what_follows
from attune_tasks._celery.claims.message import StoredMessage
from attune_tasks._celery.claims.outage import is_outage
from attune_tasks._celery.claims.store import ClaimStore, Due, End, claim_store
from attune_tasks._celery.metrics.figures import FIGURES
from attune_tasks._celery.publishing import on_behalf_of
from attune_tasks.errors import ActionFailed
from attune_tasks.log_fields import about
from attune_tasks.result import NOT_STARTED, ExecutionResult

__all__ = ["LOST", "cancel_waiting", "publish_again", "reap"]

logger: Final = logging.getLogger("attune_tasks.claims")

LOST: Final = "the worker that ran the action was lost (killed, stopped, or cut off) and did not come back in time"


def reap(app: Celery, execution_id: int | None = None) -> int:
    """Do what is due, of all executions or of one; give how much that was. Raises what the clients raise."""
    store = claim_store(app)
    if store is None:
        return 0
    due = store.reap(execution_id)
    for each in due:
        try:
            _do(app, store, each)
        except Exception as error:
            if is_outage(error):
                raise
            # A stranger's message may hold anything. It comes up again, and once more each half minute.
            logger.error(  # noqa: TRY400
                "execution %s can't be ended: %s", each.execution_id, type(error).__name__, extra=_fields(each)
            )
    return len(due)


def cancel_waiting(app: Celery, execution_id: int) -> bool:
    """End an execution as cancelled that no worker has: it waits for a ticket, or for its next attempt.

    Give whether it was so. Raises what the clients raise.
    """
    store = claim_store(app)
    if store is None:
        return False
    attempt, message, task_id, ref = store.read(execution_id, "attempt", "message", "task_id", "ref")
    if not task_id:
        return False
    result = ExecutionResult.without_child(execution_id, ref, "cancelled", NOT_STARTED, "cancelled", int(attempt))
    end = End.of(task_id, states.FAILURE, result.to_dict())
    verdict, _ = store.finish(end, "", only_waiting=True)
    if verdict != "first":
        return False
    _do(app, store, Due("deliver", execution_id, end.attempt, message, end.outcome, task_id, ref))
    return True


def publish_again(app: Celery, due: Due) -> None:
    """Send the message of an attempt that is to follow. Where that fails it stays to be done, and a reaper does it."""
    store = claim_store(app)
    try:
        StoredMessage.from_json(due.message).publish(app, due.attempt)
        if store is not None:
            store.published(due.execution_id, due.attempt)
    except Exception as error:  # noqa: BLE001 - the broker's own, whose text may quote its URL
        logger.warning(
            "execution %s is to be sent again later: %s", due.execution_id, type(error).__name__, extra=_fields(due)
        )


def _fields(due: Due) -> dict[str, str]:
    return about(due.execution_id, due.ref, due.task_id)


def _do(app: Celery, store: ClaimStore, due: Due) -> None:
    if due.word == "again":
        logger.warning("execution %s is sent again, for attempt %s", due.execution_id, due.attempt, extra=_fields(due))
        publish_again(app, due)
        return
    if due.word == "lost":
        logger.warning("execution %s error: %s", due.execution_id, LOST, extra=_fields(due))
        FIGURES.end(due.ref, "error")
    _store_and_go_on(app, due)
    store.delivered([due.execution_id])


def _store_and_go_on(app: Celery, due: Due) -> None:
    """Do in place of a lost worker what Celery does after a task: store the result, go on with what follows."""
    message = StoredMessage.from_json(due.message) if due.message else None
    task_id = message.task_id if message else due.task_id
    backend: Any = app.backend
    is_stored = backend.get_state(task_id) in states.READY_STATES
    request = message.context(app) if message else Context({"id": task_id, "delivery_info": {}})
    state, data = _outcome(due)
    name_what_follows(task_id, request)
    with on_behalf_of(app, message.headers, request) if message else nullcontext():
        if state == states.SUCCESS and is_stored:
            # Celery stores it last but for the chord, which takes each of its parts once.
            if request.chord:
                backend.on_chord_part_return(request, state, data)
        elif state == states.SUCCESS:
            _call_back(app, request, data)
            backend.mark_as_done(task_id, data, request=request, store_result=True)
        elif state == states.REVOKED:
            result = ExecutionResult.from_dict(data)
            reason = (result.error or {}).get("message", "revoked")
            backend.mark_as_revoked(task_id, reason, request=request, store_result=not is_stored)
        else:
            # What stands there may be this, or the result of a lost worker that has come back: it stays. What follows
            # has the same ids, whoever sends it.
            failure = ActionFailed(data)
            if is_stored:
                # Celery stores the states of those which will not run only where it stores that of the first one.
                backend._fail_chain(request.chain, failure)  # noqa: SLF001
                request.chain = None
            backend.mark_as_failure(task_id, failure, request=request, store_result=not is_stored)


def _outcome(due: Due) -> tuple[str, Any]:
    if due.outcome:
        outcome = json.loads(due.outcome)
        return outcome["state"], outcome["result"]
    lost = ExecutionResult.without_child(due.execution_id, due.ref, "worker_lost", LOST, attempt=due.attempt)
    return states.FAILURE, lost.to_dict()


def _call_back(app: Celery, request: Context, value: Any) -> None:
    """Send what is linked to a task and what follows it in a chain, as Celery's own tracer does before it stores."""
    root_id = request.root_id or request.id
    options: Any = {"parent_id": request.id, "root_id": root_id, "priority": None}
    callbacks: list[Any] = [maybe_signature(callback, app=app) for callback in request.callbacks or ()]
    if len(callbacks) == 1:
        callbacks[0].apply_async((value,), **options)
    elif callbacks:
        group(callbacks, app=app).apply_async((value,), **options)
    if request.chain:
        chain: Any = request.chain
        following: Any = maybe_signature(chain[-1], app=app)
        following.apply_async((value,), chain=chain[:-1], **options)
