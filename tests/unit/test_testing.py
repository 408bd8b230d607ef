"""attune_tasks.testing: what applications' and packs' tests stand on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from celery import Celery

from attune_tasks import ActionFailed, ExecutionResult, enqueue
from attune_tasks._celery.embedded import embedded_config
from attune_tasks.errors import InvalidParametersError, PackError, ResultTimeoutError
from attune_tasks.ids import task_id_of
from attune_tasks.tasks import NAME
from attune_tasks.testing import captured, fake_result, run_local
from tests.integration.packs import SECRETS, write_packs


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return write_packs(tmp_path)


@pytest.fixture
def app(tmp_path: Path, packs: Path) -> Celery:
    made = Celery("captured", set_as_current=False)
    made.conf.update(embedded_config(tmp_path / "embedded"))
    made.conf.attune_tasks = {"packs": [str(packs)]}
    return made


def test_what_is_enqueued_is_recorded_and_not_sent(app: Celery, tmp_path: Path) -> None:
    with captured() as calls:
        handle = enqueue("work.add", {"a": 1}, env={}, timeout=3, countdown=9, queue="q", caller="me", app=app)
        sent = app.tasks[NAME].delay("work.routed")
    first, second = calls
    assert (first.action_ref, first.parameters, first.timeout, first.countdown) == ("work.add", {"a": 1}, 3, 9)
    assert (first.queue, first.caller, first.task_id, first.execution_id) == (
        "q",
        "me",
        handle.task_id,
        handle.execution_id,
    )
    assert task_id_of(first.execution_id) == first.task_id
    assert (second.action_ref, second.queue, second.task_id) == ("work.routed", "from_metadata", sent.id)
    assert list((tmp_path / "embedded" / "broker").rglob("*-*")) == []


def test_a_captured_call_has_no_result_and_says_what_to_do(app: Celery) -> None:
    with captured():
        handle = enqueue("work.add", {"a": 1}, app=app)
        assert handle.status() == "pending"
        with pytest.raises(ResultTimeoutError, match="fake_result"):
            handle.result()


def test_what_packs_refuse_is_refused_when_captured_too(app: Celery) -> None:
    with captured() as calls, pytest.raises(InvalidParametersError):
        enqueue("work.add", {"a": "many"}, app=app)
    assert calls == []


def test_an_answer_is_the_result_of_the_handle(app: Celery) -> None:
    with captured() as calls, fake_result("work.add", 42, stdout="added\n"):
        handle = enqueue("work.add", {"a": 1}, app=app)
        other = enqueue("work.routed", app=app)
    assert len(calls) == 2
    assert handle.status() == "succeeded"
    expected = ExecutionResult(handle.execution_id, "work.add", "succeeded", exit_code=0, result=42, stdout="added\n")
    assert handle.result(timeout=1) == expected
    assert other.status() == "pending"


def test_an_answer_can_be_a_failure(app: Celery) -> None:
    with fake_result("work.add", status="timed_out", stderr="slow"):
        handle = enqueue("work.add", {"a": 1}, app=app)
        sent = app.tasks[NAME].delay("work.add", {"a": 1})
    result = handle.result()
    assert (handle.status(), result.stderr, result.exit_code) == ("timed_out", "slow", None)
    assert result.error
    assert result.error["type"] == "timed_out"
    with pytest.raises(ActionFailed):
        sent.get()


def test_nested_captures_and_answers_are_the_innermost_ones(app: Celery) -> None:
    with captured() as outer, fake_result("work.add", 1):
        with captured() as inner, fake_result("work.add", 2):
            assert enqueue("work.add", {"a": 1}, app=app).result().result == 2
        assert enqueue("work.add", {"a": 1}, app=app).result().result == 1
    assert (len(inner), len(outer)) == (1, 1)


def test_calls_of_other_threads_are_caught(app: Celery) -> None:
    with captured() as calls:
        threads = [threading.Thread(target=enqueue, args=("work.add", {"a": 1}), kwargs={"app": app}) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(calls) == 5


def test_after_the_block_calls_are_sent_again(app: Celery, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), captured():
        raise ZeroDivisionError
    enqueue("work.add", {"a": 1}, app=app)
    assert len(list((tmp_path / "embedded" / "broker" / "queues").glob("*/*-*"))) == 1


def test_an_action_runs_in_this_process_with_literal_secrets(packs: Path) -> None:
    result = run_local("work.tell", packs=packs, secrets=SECRETS)
    assert (result.status, result.result) == ("succeeded", {"key": "***", "list": ["***"], "length": 27})
    assert run_local("work.add", {"a": 1}, packs=[packs]).result == 3
    assert run_local("work.late", packs=str(packs), timeout=0.1).status == "timed_out"


@pytest.mark.parametrize(
    ("secrets", "kind", "said"),
    [
        (None, "secrets_unavailable", "api_key, password"),
        ({**SECRETS, "apikey": "x"}, "secret_invalid", "apikey"),
    ],
)
def test_secrets_that_miss_or_are_too_many_are_named(
    packs: Path, secrets: dict[str, str] | None, kind: str, said: str
) -> None:
    result = run_local("work.tell", packs=packs, secrets=secrets)
    assert result.error
    assert (result.status, result.error["type"]) == ("error", kind)
    assert said in result.error["message"]


def test_packs_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(PackError):
        run_local("work.add", packs=tmp_path / "absent")
