"""Executions through a real prefork worker of the ready-made app, on the embedded default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, group

from attune_tasks import ActionFailed, ExecutionResult, Handle, enqueue
from attune_tasks.errors import InvalidParametersError, ResultTimeoutError, UnknownActionError
from attune_tasks.ids import execution_id_of, new_execution_id, task_id_of
from attune_tasks.tasks import NAME
from tests.celery_worker import CeleryWorker
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("prefork_worker")

SECONDS = 30


def run(client: Celery, ref: str, parameters: dict[str, Any] | None = None, **options: Any) -> ExecutionResult:
    return enqueue(ref, parameters, app=client, **options).result(timeout=SECONDS)


def send(client: Celery, *args: Any, **options: Any) -> Handle:
    """Send as a process would which knows nothing but the task's name."""
    return Handle.from_task_id(client.send_task(NAME, args=args, **options).id, app=client)


def test_a_python_action_succeeds_with_its_defaults(client: Celery) -> None:
    handle = enqueue("work.add", {"a": 40}, app=client)
    result = handle.result(timeout=SECONDS)
    assert (result.status, result.result, result.exit_code) == ("succeeded", 42, 0)
    assert handle.status() == "succeeded"
    assert result.execution_id == handle.execution_id == execution_id_of(handle.task_id)
    assert handle.task_id == task_id_of(handle.execution_id)


def test_delay_gives_an_async_result_whose_id_is_ours(client: Celery) -> None:
    sent = client.tasks[NAME].delay("work.add", {"a": 1})
    assert sent.get(timeout=SECONDS)["result"] == 3
    assert task_id_of(execution_id_of(sent.id)) == sent.id


@pytest.mark.parametrize("ref", ["work.tell", "work.tell_shell", "work.tell_executable"])
def test_actions_of_each_runtime_get_their_secrets_and_come_back_masked(client: Celery, ref: str) -> None:
    result = run(client, ref)
    assert result.status == "succeeded", result.error
    assert result.stdout.startswith("out ")
    assert "***" in result.stdout
    if ref == "work.tell":
        assert result.result == {"key": "***", "list": ["***"], "length": 27}


@pytest.mark.parametrize("ref", ["work.tell", "work.tell_shell", "work.tell_executable"])
def test_a_failed_action_is_celerys_failure(client: Celery, ref: str) -> None:
    handle = enqueue(ref, {"fail": True}, app=client)
    result = handle.result(timeout=SECONDS)
    assert (result.status, result.exit_code, handle.status()) == ("failed", 1, "failed")
    assert result.error
    sent = client.AsyncResult(handle.task_id)
    assert sent.state == "FAILURE"
    with pytest.raises(ActionFailed) as raised:
        sent.get(timeout=SECONDS)
    assert raised.value.args == (result.to_dict(),)
    assert raised.value.__cause__ is None
    assert len(str(sent.traceback).splitlines()) < 20


def test_an_action_that_takes_too_long_is_timed_out_with_what_it_said(client: Celery) -> None:
    result = run(client, "work.late")
    assert (result.status, result.stdout) == ("timed_out", "before\n")


def test_a_caller_may_shorten_the_timeout(client: Celery, tmp_path: Path) -> None:
    result = run(client, "work.wait", {"until": str(tmp_path / "never")}, timeout=3)
    assert (result.status, result.stdout) == ("timed_out", "started\n")


def test_an_unknown_action_is_refused_at_enqueue_and_in_the_worker(client: Celery) -> None:
    with pytest.raises(UnknownActionError, match=r"work\.add"):
        enqueue("work.ad", app=client)
    result = send(client, "work.ad").result(timeout=SECONDS)
    assert (result.status, result.started_at) == ("error", None)
    assert result.error
    assert result.error["type"] == "unknown_action"


def test_wrong_parameters_are_refused_at_enqueue_and_in_the_worker(client: Celery) -> None:
    with pytest.raises(InvalidParametersError, match="a: expected"):
        enqueue("work.add", {"a": "many"}, app=client)
    result = send(client, "work.add", {"a": "many"}).result(timeout=SECONDS)
    assert result.error
    assert (result.status, result.error["type"]) == ("error", "invalid_parameters")
    assert "many" not in result.error["message"]


@pytest.mark.parametrize("args", [["work.add", [1]], [7], ["work.add", {}, 3]])
def test_a_message_of_another_form_ends_as_an_error(client: Celery, args: list[Any]) -> None:
    assert send(client, *args).result(timeout=SECONDS).status == "error"


@pytest.mark.parametrize("task_id", ["nightly-42", "../../../etc/nightly 42", "0b6f5f2e-6cd5-4b4e-9a0e-7a4b1f2f1e11"])
def test_a_foreign_task_id_has_an_execution_id_that_can_be_told_from_it(client: Celery, task_id: str) -> None:
    result = send(client, "work.add", {"a": 1}, task_id=task_id).result(timeout=SECONDS)
    assert (result.status, result.execution_id) == ("succeeded", execution_id_of(task_id))


def test_an_execution_id_can_be_given(client: Celery) -> None:
    wanted = new_execution_id()
    assert run(client, "work.add", {"a": 1}, execution_id=wanted).execution_id == wanted


def test_a_running_execution_is_seen_to_run_and_a_short_wait_ends(client: Celery, tmp_path: Path) -> None:
    handle = enqueue("work.wait", {"until": str(tmp_path / "go")}, app=client)
    wait_until(lambda: handle.status() == "running", "status running")
    with pytest.raises(ResultTimeoutError, match=r"work\.wait"):
        handle.result(timeout=0.05)
    (tmp_path / "go").touch()
    assert handle.result(timeout=SECONDS).status == handle.status() == "succeeded"


def test_a_revoked_execution_is_cancelled(client: Celery) -> None:
    task_id = task_id_of(new_execution_id())
    client.control.revoke(task_id)
    wait_until(lambda: task_id in str(client.control.inspect(timeout=5, limit=1).revoked()), "the revoke's arrival")
    handle = send(client, "work.add", {"a": 1}, task_id=task_id)
    result = handle.result(timeout=SECONDS)
    assert (result.status, handle.status(), client.AsyncResult(task_id).state) == ("cancelled", "cancelled", "REVOKED")
    assert result.error
    assert result.error["type"] == "revoked"


def test_an_expired_execution_is_cancelled(client: Celery) -> None:
    result = run(client, "work.add", {"a": 1}, countdown=0.5, expires=0.1)
    assert result.error
    assert (result.status, result.error["type"]) == ("cancelled", "expired")


def test_a_program_started_in_a_pool_process_can_be_interrupted(client: Celery) -> None:
    assert run(client, "work.interrupt").signal == "SIGINT"


def test_the_log_says_who_asked_for_what_without_parameters(client: Celery, prefork_worker: CeleryWorker) -> None:
    handle = enqueue("work.add", {"a": 1}, caller="billing\nfake line", app=client)
    handle.result(timeout=SECONDS)
    log = prefork_worker.log()
    assert f"execution {handle.execution_id} of work.add starts, claimed_by=billing?fake line" in log
    assert re.search(rf"Task work\.add\[{handle.task_id}\] succeeded in .{{,250}}\n", log)


def test_celery_logs_no_traceback_for_an_action_that_failed(client: Celery, prefork_worker: CeleryWorker) -> None:
    before = len(prefork_worker.log())
    handle = enqueue("work.tell_shell", {"fail": True}, app=client)
    handle.result(timeout=SECONDS)
    wait_until(lambda: f"{handle.task_id}] raised expected" in prefork_worker.log(), "the failure's line")
    assert "Traceback" not in prefork_worker.log()[before:]


def test_the_stored_result_is_bounded(client: Celery) -> None:
    result = run(client, "work.large", {"letter": "é", "size": 150_000})
    assert result.stdout.endswith("the end of stdout")
    assert len(result.stdout.encode()) in {64 * 1024, 64 * 1024 - 1}
    assert result.stdout_truncated
    assert result.stderr_truncated
    assert result.result == {"_truncated": True, "bytes": 300_002}


def test_canvas_works_with_immutable_signatures(client: Celery) -> None:
    task = client.tasks[NAME]
    both = group(task.si("work.add", {"a": number}) for number in (1, 2))
    assert [each["result"] for each in both.apply_async().get(timeout=SECONDS)] == [3, 4]
    assert (
        chain(task.si("work.add", {"a": 1}), task.si("work.add", {"a": 5})).apply_async().get(timeout=SECONDS)["result"]
        == 7
    )


def test_the_control_commands_of_celery_work(client: Celery) -> None:
    answers = client.control.inspect(timeout=10, limit=1).ping() or {}
    assert list(answers.values()) == [{"ok": "pong"}]


def test_a_message_nested_too_deep_for_pickle_is_refused_and_costs_no_slot(
    prefork_worker: CeleryWorker, client: Celery
) -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}
    handles = [Handle(client.send_task(NAME, args=["work.add", deep])) for _ in range(3)]
    for handle in handles:
        result = handle.result(timeout=30)
        assert (result.status, result.error and result.error["type"]) == ("error", "invalid_parameters")
    assert enqueue("work.add", {"a": 1}, app=client).result(timeout=30).result == 3
