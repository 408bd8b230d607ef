"""The worker's side of run_action: from the message to the result that is stored."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from celery import Task, states
from celery.exceptions import Ignore, Reject

from attune_tasks._celery.bounding import bounded
from attune_tasks._celery.callers import Caller, read_caller
from attune_tasks._celery.calls import Call
from attune_tasks._celery.carried import carried_by
from attune_tasks._celery.claims.claim import Claim
from attune_tasks._celery.claims.following import name_what_follows
from attune_tasks._celery.leaks.names import is_watched
from attune_tasks._celery.metrics.figures import FIGURES, seconds_waited
from attune_tasks._celery.observing import Begun, tell
from attune_tasks._celery.per_app import AppState, state_of
from attune_tasks._celery.publishing import refusal_of
from attune_tasks.attempts import attempt_after
from attune_tasks.context import ExecutionRequest
from attune_tasks.errors import ActionFailed, AttuneTasksError, MessageRefusedError
from attune_tasks.ids import execution_id_of, new_execution_id
from attune_tasks.log_fields import logged_as, one_line
from attune_tasks.result import ExecutionResult

if TYPE_CHECKING:
    from attune_tasks.executor import ActionExecutor

__all__ = ["run"]

logger: Final = logging.getLogger("attune_tasks.worker")


def run(task: Task[Any, Any], call: Call) -> dict[str, Any]:
    """Run one call to its end and give its result, cut to what a backend should hold.

    Raises ActionFailed, with the same result, unless it succeeded; Ignore where nothing is to be stored, for another
    attempt follows, or is by now.
    """
    task_id = task.request.id
    execution_id = execution_id_of(task_id) if task_id else new_execution_id()
    with logged_as(execution_id, call.ref, task_id):
        return _run(task, call, execution_id)


def _run(task: Task[Any, Any], call: Call, execution_id: int) -> dict[str, Any]:
    state = state_of(task.app)
    claim = Claim.of(task)
    if not _begin(task, claim):
        logger.warning("execution %s is not begun: its claim is another's by now", execution_id)
        raise Ignore
    waited = seconds_waited(task.request)
    refusal = refusal_of(task)
    verified = bool(state.message_keys) and refusal is None
    caller = read_caller(task.request.headers, verified=verified)
    level, what = (logging.INFO, "starts") if refusal is None else (logging.WARNING, "is refused")
    named = (caller.label, one_line(caller.name))
    logger.log(level, "execution %s of %s %s, %s=%s", execution_id, one_line(call.ref), what, *named)
    if refusal is None:
        _tell_of_begin(task, call, execution_id, one_line(caller.name))
    with _kept(claim):
        result = _execute(task, call, execution_id, caller, refusal)
        result = replace(result, attempt=attempt_after(task.request.retries))
        _go_on_with_another(task, state, claim, result)
        data = bounded(result.to_dict(), state.loaded.settings.result)
        if claim is not None:
            _finish(task, claim, data)
    tell("ended", task.app, data)
    FIGURES.result(result, waited)
    if not result.succeeded:
        raise ActionFailed(data)
    return data


def _tell_of_begin(task: Task[Any, Any], call: Call, execution_id: int, caller: str) -> None:
    begun = Begun(
        execution_id=execution_id,
        task_id=task.request.id or "",
        action_ref=one_line(call.ref),
        parameters=call.parameters if isinstance(call.parameters, Mapping) else {},  # a stranger's message
        env=call.env if isinstance(call.env, Mapping) else {},
        timeout=call.timeout if isinstance(call.timeout, int | float) else None,
        caller=caller,
        at=datetime.now(UTC),
        attempt=attempt_after(task.request.retries),
    )
    tell("begun", task.app, begun)


def _begin(task: Task[Any, Any], claim: Claim | None) -> bool:
    """Store STARTED; give whether the action may run."""
    if claim is not None:
        return claim.begin(task.request)
    request = task.request
    if not (request.is_eager or request.called_directly or request.ignore_result):
        meta = {"pid": os.getpid(), "hostname": request.hostname}
        try:
            task.backend.store_result(str(request.id), meta, states.STARTED, request=request)
        except Exception as error:  # noqa: BLE001 - the backend's own; only who looks meanwhile misses it
            logger.warning("STARTED of task %s is not stored: %s", request.id, type(error).__name__)
    return True


def _kept(claim: Claim | None) -> AbstractContextManager[None]:
    """Keep the claim until the end is written: while the server can't be reached that may take its time."""
    if claim is None:
        return nullcontext()
    from attune_tasks._celery.claims.keeping import keeping  # a worker's: clients load this module, too

    return keeping(claim)


def _execute(
    task: Task[Any, Any], call: Call, execution_id: int, caller: Caller, refusal: MessageRefusedError | None
) -> ExecutionResult:
    try:
        if refusal is not None:
            raise refusal
        call.check()
        watched = is_watched(task.request)
        executor = _executor(task, execution_id, watched=watched)
    except AttuneTasksError as error:
        return ExecutionResult.without_child(execution_id, one_line(call.ref), error.code, str(error))
    from attune_tasks._celery.live_output import execute_live  # a worker's, too

    request = ExecutionRequest(
        execution_id,
        call.ref,
        call.parameters or {},
        call.env or {},
        call.timeout,
        task_id=task.request.id,
        caller=one_line(caller.name),
        caller_verified=caller.verified,
        carried=carried_by(task.request),
    )
    with _shown(task) if watched else nullcontext():
        return execute_live(task, executor, request)


def _executor(task: Task[Any, Any], execution_id: int, *, watched: bool) -> ActionExecutor:
    if not watched:
        return state_of(task.app).executor
    from attune_tasks._celery.leaks.canary_secrets import watched_executor  # hardly any execution is

    return watched_executor(task, execution_id)


def _shown(task: Task[Any, Any]) -> AbstractContextManager[None]:
    from attune_tasks._celery.leaks.debug_records import debug_records

    state = state_of(task.app)
    if not state.leak_check_address or state.worker_pid is None:
        return nullcontext()
    return debug_records(state.leak_check_address, state.worker_pid)


def _go_on_with_another(task: Task[Any, Any], state: AppState, claim: Claim | None, result: ExecutionResult) -> None:
    """Send the attempt that is to follow this result, if any, and raise Ignore: RETRY is stored before."""
    from attune_tasks._celery.claims.policy import delay_before_next

    delay = None if result.succeeded or claim is None else delay_before_next(state, result)
    if delay is None or claim is None:
        return
    failure = ActionFailed(bounded(result.to_dict(), state.loaded.settings.result))
    if claim.again(failure, task.request):
        FIGURES.retry(result.action_ref)
        logger.warning(
            "execution %s: attempt %s %s, next one in %.1f s", result.execution_id, result.attempt, result.status, delay
        )
        try:
            task.retry(countdown=delay, throw=False)
        except Reject:  # it could not be sent: a reaper does that
            logger.warning("execution %s: its next attempt is to be sent later", result.execution_id)
        else:
            claim.published(delay)
    raise Ignore


def _finish(task: Task[Any, Any], claim: Claim, data: dict[str, Any]) -> None:
    """Write the final state; raise Ignore where Celery is not to store it and go on with what follows."""
    succeeded = data["status"] == "succeeded"
    state = states.SUCCESS if succeeded else states.FAILURE
    verdict = claim.finish(state, data)
    if verdict == "first":
        name_what_follows(claim.task_id, task.request)
        return
    if verdict == "replaced":
        # What follows was sent when the worker was thought to be lost.
        logger.warning(
            "execution %s has ended after all: its result takes the place of worker_lost", claim.execution_id
        )
        tell("ended", task.app, data)
        claim.store_late(data if succeeded else ActionFailed(data), state, task.request)
    else:
        logger.warning("execution %s has another end already: this one is dropped", claim.execution_id)
    raise Ignore
