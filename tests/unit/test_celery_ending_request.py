"""What the main process stores of ends that it alone sees. The real ones are in tests/integration."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery import Celery
from celery.concurrency.solo import TaskPool
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker import state as worker_state

from attune_tasks import ActionFailed, ExecutionResult, Handle
from attune_tasks._celery import cancelled_ids
from attune_tasks._celery.embedded import embedded_config
from attune_tasks._celery.ending_request import end_what_is_left
from attune_tasks._celery.metrics.figures import FIGURES
from attune_tasks._celery.request import ActionRequest
from attune_tasks.ids import execution_id_of, new_execution_id, task_id_of
from attune_tasks.tasks import NAME

OWN = ExecutionResult(1, "a.b", "failed", exit_code=3, error={"type": "exit_code", "message": "code 3"})


@pytest.fixture
def app(tmp_path: Path) -> Celery:
    made = Celery("ending", set_as_current=False)
    made.conf.update(embedded_config(tmp_path), include=["attune_tasks.tasks"])
    made.finalize()
    return made


def request_of(app: Celery, task_id: str | None = None) -> Any:
    """Give the request of a message as it comes from a broker, acknowledged into its list `acks`."""
    task_id = task_id or task_id_of(new_execution_id())
    payload: tuple[Any, ...] = (["a.b", {}], {}, {})
    message = SimpleNamespace(
        headers={"id": task_id, "task": NAME, "shadow": "a.b"},
        body=b"",
        payload=payload,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={},
        properties={},
    )
    acks: list[str] = []
    made: Any = ActionRequest(message, app=app, on_ack=lambda *_: acks.append(task_id))
    made.acks = acks
    return made


def raised(error: Exception) -> Any:
    try:
        raise error
    except type(error):
        return ExceptionInfo()


def told(app: Celery, request: Any) -> tuple[str, str, str]:
    handle = Handle.from_task_id(request.id, app=app)
    result = handle.result(timeout=1)
    assert result.error
    assert result.execution_id == execution_id_of(request.id)
    return str(app.AsyncResult(request.id).state), result.status, result.error["type"]


def test_a_lost_pool_process_is_an_error_of_the_worker_and_no_exception_of_celerys(app: Celery) -> None:
    request = request_of(app)
    request.on_failure(raised(WorkerLostError("signal 9")))
    assert told(app, request) == ("FAILURE", "error", "worker_lost")
    assert isinstance(app.AsyncResult(request.id).result, ActionFailed)


def test_what_the_main_process_alone_sees_is_counted_once_and_logged_with_its_fields(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[Any] = []
    FIGURES.open(taken.append)
    try:
        lost, late = request_of(app), request_of(app)
        for _ in range(2):
            lost.on_failure(raised(WorkerLostError("signal 9")))
            late.on_timeout(soft=False, timeout=5.0)
    finally:
        FIGURES.close()
    assert [(each["action"], each["status"]) for each in taken] == [("a.b", "error"), ("a.b", "timed_out")]
    records: list[Any] = caplog.records
    fields = [(record.execution_id, record.action, record.task_id) for record in records]
    assert fields == [(str(each.execution_id), "a.b", each.id) for each in (lost, late)]


@pytest.mark.parametrize(("value", "state"), [(OWN.to_dict(), "SUCCESS"), (ActionFailed(OWN.to_dict()), "FAILURE")])
def test_an_end_that_was_stored_before_the_process_was_lost_stays(app: Celery, value: Any, state: str) -> None:
    request = request_of(app)
    backend: Any = app.backend
    backend.store_result(request.id, value, state)
    request.on_failure(raised(WorkerLostError("signal 9")))
    request.on_timeout(soft=False, timeout=3)
    request.end_with_worker()
    assert Handle.from_task_id(request.id, app=app).result(timeout=1) == OWN


def test_a_hard_time_limit_is_told_once(app: Celery) -> None:
    request = request_of(app)
    request.on_failure(raised(TimeLimitExceeded(3)))
    assert app.AsyncResult(request.id).state == "PENDING"
    request.on_timeout(soft=False, timeout=3)
    assert told(app, request) == ("FAILURE", "timed_out", "hard_time_limit")


def test_a_shutdown_that_reaches_no_process_stores_no_retry(app: Celery) -> None:
    request = request_of(app)
    request.cancel(TaskPool(app=app))  # it has not begun, and there is no pool process to be told
    assert told(app, request) == ("FAILURE", "cancelled", "worker_shutdown")


def test_what_is_active_when_the_worker_ends_gets_an_end(app: Celery) -> None:
    request = request_of(app)
    worker_state.active_requests.add(request)
    end_what_is_left()
    worker_state.active_requests.discard(request)
    assert told(app, request) == ("FAILURE", "error", "worker_lost")


def test_what_was_cancelled_is_ended_when_it_arrives_and_acknowledged_once(app: Celery) -> None:
    number = new_execution_id()
    cancelled_ids.note(number)
    request = request_of(app, task_id_of(number))
    assert request.id in worker_state.revoked  # by which Celery asks revoked() at once
    assert request.revoked()
    assert request.revoked()
    assert told(app, request) == ("FAILURE", "cancelled", "cancelled")
    assert request.acks == [request.id]


def test_what_celery_revoked_stays_celerys(app: Celery) -> None:
    request = request_of(app)
    worker_state.revoked.add(request.id)
    assert request.revoked()
    assert told(app, request) == ("REVOKED", "cancelled", "revoked")


def test_another_message_is_not_touched(app: Celery) -> None:
    request = request_of(app)
    assert not request.revoked()
    assert (request.acks, app.AsyncResult(request.id).state) == ([], "PENDING")
