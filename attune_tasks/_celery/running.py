"""The worker's side of run_action: from the message to the result that is stored."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final

from celery import Task

from attune_tasks._celery.bounding import bounded
from attune_tasks._celery.calls import MAXIMUM_REF, Call
from attune_tasks._celery.per_app import AppState, state_of
from attune_tasks._celery.sending import CALLER_HEADER
from attune_tasks.context import ExecutionRequest
from attune_tasks.errors import ActionFailed, AttuneTasksError
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
    logger.info("execution %s of %s starts, claimed_by=%s", execution_id, _line(call.ref), _line(_caller(task)))
    state = state_of(task.app)
    result = _execute(state, call, execution_id)
    data = bounded(result.to_dict(), state.loaded.settings.result)
    if not result.succeeded:
        raise ActionFailed(data)
    return data


def _execute(state: AppState, call: Call, execution_id: int) -> ExecutionResult:
    try:
        call.check()
        executor = state.executor
    except AttuneTasksError as error:
        return ExecutionResult(
            execution_id=execution_id,
            action_ref=_line(call.ref),
            status="error",
            error={"type": error.code, "message": str(error)},
            finished_at=datetime.now(UTC),
        )
    return executor.execute(
        ExecutionRequest(execution_id, call.ref, call.parameters or {}, call.env or {}, call.timeout)
    )


def _caller(task: Task[Any, Any]) -> object:
    return (task.request.headers or {}).get(CALLER_HEADER, "unknown")


def _line(text: object) -> str:
    """Make one printable line of what a stranger sent: it goes into the log."""
    kept = str(text)[: max(_CALLER_CHARACTERS, MAXIMUM_REF)]
    return "".join(character if character.isprintable() else "?" for character in kept)
