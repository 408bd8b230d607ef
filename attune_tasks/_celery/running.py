"""The worker's side of run_action: from the message to the result that is stored."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final

from celery import Task

from attune_tasks._celery.bounding import bounded
from attune_tasks._celery.callers import read_caller
from attune_tasks._celery.calls import MAXIMUM_REF, Call
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.publishing import refusal_of
from attune_tasks.context import ExecutionRequest
from attune_tasks.errors import ActionFailed, AttuneTasksError, MessageRefusedError
from attune_tasks.ids import execution_id_of, new_execution_id
from attune_tasks.result import ExecutionResult

__all__ = ["run"]

logger: Final = logging.getLogger("attune_tasks.worker")

_CALLER_CHARACTERS: Final = 200


def run(task: Task[Any, Any], call: Call) -> dict[str, Any]:
    """Run one call to its end and give its result, cut to what a backend should hold.

    Raises ActionFailed, with the same result, unless it succeeded.
    """
    task_id = task.request.id
    execution_id = execution_id_of(task_id) if task_id else new_execution_id()
    state = state_of(task.app)
    refusal = refusal_of(task)
    verified = bool(state.message_keys) and refusal is None
    caller = read_caller(task.request.headers, verified=verified)
    level, what = (logging.INFO, "starts") if refusal is None else (logging.WARNING, "is refused")
    named = (caller.label, _line(caller.name))
    logger.log(level, "execution %s of %s %s, %s=%s", execution_id, _line(call.ref), what, *named)
    result = _execute(task, call, execution_id, refusal)
    data = bounded(result.to_dict(), state.loaded.settings.result)
    if not result.succeeded:
        raise ActionFailed(data)
    return data


def _execute(
    task: Task[Any, Any], call: Call, execution_id: int, refusal: MessageRefusedError | None
) -> ExecutionResult:
    try:
        if refusal is not None:
            raise refusal
        call.check()
        executor = state_of(task.app).executor
    except AttuneTasksError as error:
        return ExecutionResult(
            execution_id=execution_id,
            action_ref=_line(call.ref),
            status="error",
            error={"type": error.code, "message": str(error)},
            finished_at=datetime.now(UTC),
        )
    from attune_tasks._celery.live_output import execute_live  # a worker's: clients load this module, too

    request = ExecutionRequest(execution_id, call.ref, call.parameters or {}, call.env or {}, call.timeout)
    return execute_live(task, executor, request)


def _line(text: object) -> str:
    """Make one printable line of what a stranger sent: it goes into the log."""
    kept = str(text)[: max(_CALLER_CHARACTERS, MAXIMUM_REF)]
    return "".join(character if character.isprintable() else "?" for character in kept)
