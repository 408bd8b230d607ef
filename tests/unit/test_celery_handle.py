"""Handles read the stored meta, whoever wrote it and whatever the client has imported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded, WorkerLostError

from attune_tasks import ActionFailed, ExecutionResult, Handle
from attune_tasks._celery.embedded import embedded_config
from attune_tasks.errors import ResultTimeoutError
from attune_tasks.ids import execution_id_of

FAILED = ExecutionResult(1, "a.b", "failed", exit_code=3, error={"type": "exit_code", "message": "code 3"})


@pytest.fixture
def app(tmp_path: Path) -> Celery:
    made = Celery("handle", set_as_current=False)
    made.conf.update(embedded_config(tmp_path))
    return made


def stored(app: Celery, value: Any, state: str) -> Handle:
    """Store something as Celery would, and give the handle of a process that just came."""
    backend: Any = app.backend
    backend.store_result("some-task", value, state)
    return Handle.from_task_id("some-task", app=app)


def test_a_success_is_read(app: Celery) -> None:
    result = ExecutionResult(1, "a.b", "succeeded", result={"x": 1})
    handle = stored(app, result.to_dict(), "SUCCESS")
    assert (handle.status(), handle.result(timeout=1)) == ("succeeded", result)
    assert handle.execution_id == execution_id_of("some-task")


def test_a_failure_is_read_and_its_exception_rebuilt(app: Celery) -> None:
    handle = stored(app, ActionFailed(FAILED.to_dict()), "FAILURE")
    assert (handle.status(), handle.result(timeout=1)) == ("failed", FAILED)
    rebuilt = app.AsyncResult("some-task").result
    assert type(rebuilt) is ActionFailed
    assert rebuilt.args == (FAILED.to_dict(),)


def test_a_failure_is_read_without_the_class_that_was_raised(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = stored(app, ActionFailed(FAILED.to_dict()), "FAILURE")
    monkeypatch.delitem(sys.modules, "attune_tasks.errors")
    assert handle.result(timeout=1) == FAILED
    assert not isinstance(app.AsyncResult("some-task").result, ActionFailed)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (WorkerLostError("signal 9"), "error", "WorkerLostError"),
        (SoftTimeLimitExceeded(5), "timed_out", "SoftTimeLimitExceeded"),
        (TypeError("run_action() takes"), "error", "TypeError"),
        (RuntimeError({"status": "no such status"}), "error", "RuntimeError"),
    ],
)
def test_what_only_celery_saw_is_an_error_of_its_kind(app: Celery, error: Exception, status: str, kind: str) -> None:
    handle = stored(app, error, "FAILURE")
    result = handle.result(timeout=1)
    assert (handle.status(), result.status) == (status, status)
    assert result.error
    assert result.error["type"] == kind
    assert result.finished_at is not None


@pytest.mark.parametrize("reason", ["revoked", "terminated", "expired"])
def test_what_celery_revoked_is_cancelled(app: Celery, reason: str) -> None:
    backend: Any = app.backend
    backend.mark_as_revoked("some-task", reason)
    handle = Handle.from_task_id("some-task", app=app)
    result = handle.result(timeout=1)
    assert (handle.status(), result.status, result.execution_id) == ("cancelled", "cancelled", handle.execution_id)
    assert result.error
    assert result.error["type"] == reason


@pytest.mark.parametrize("value", [42, None, {"status": "odd"}])
def test_the_result_of_another_task_is_told_from_an_executions(app: Celery, value: Any) -> None:
    result = stored(app, value, "SUCCESS").result(timeout=1)
    assert result.error
    assert (result.status, result.error["type"]) == ("error", "unknown_result")


@pytest.mark.parametrize(
    ("state", "status"),
    [("PENDING", "pending"), ("RECEIVED", "pending"), ("RETRY", "pending"), ("STARTED", "running"), ("X", "running")],
)
def test_states_before_the_end_are_told(app: Celery, state: str, status: str) -> None:
    value: Any = RuntimeError("again") if state == "RETRY" else {}
    assert stored(app, value, state).status() == status


def test_waiting_ends_with_the_timeout_and_names_the_task(app: Celery) -> None:
    handle = Handle.from_task_id("never-sent", app=app)
    assert handle.status() == "pending"
    with pytest.raises(ResultTimeoutError, match="never-sent"):
        handle.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        handle.result(timeout=0)


def test_a_handle_shows_its_ids(app: Celery) -> None:
    assert repr(Handle.from_task_id("t", app=app)) == f"Handle(None, execution_id={execution_id_of('t')}, task_id='t')"
