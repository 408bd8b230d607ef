"""Records of executions: what may stand in them, who writes first, and that nobody waits for a database."""

from __future__ import annotations

import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from attune_tasks._celery.capturing import Enqueued
from attune_tasks._celery.observing import Begun
from attune_tasks.ids import new_execution_id, task_id_of
from attune_tasks.result import ExecutionResult, Receipt
from tests.django_site import Site, set_up_django
from tests.waiting import wait_until

set_up_django()

from django.test import override_settings  # noqa: E402 - needs settings
from django.utils import timezone  # noqa: E402 - the same

from attune_tasks.contrib.django.keeping import prune, refresh, refresh_unfinished  # noqa: E402
from attune_tasks.contrib.django.models import Execution  # noqa: E402
from attune_tasks.contrib.django.recordable import clean_json, clean_text, tail  # noqa: E402
from attune_tasks.contrib.django.recording import record_begun, record_ended, record_enqueued  # noqa: E402
from attune_tasks.contrib.django.writer import Writer  # noqa: E402

SECRET = "Zq7-typed-in-Xw2"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _sent(ref: str, parameters: dict[str, Any], number: int = 7) -> Enqueued:
    return Enqueued(ref, parameters, {}, None, None, task_id_of(number), number, "ada")


def _begun(ref: str, parameters: dict[str, Any], number: int = 7) -> Begun:
    return Begun(number, task_id_of(number), ref, parameters, {}, None, "ada", NOW, 1)


def _ended(number: int = 7, ref: str = "work.add", **fields: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "status": "succeeded",
        "started_at": NOW,
        "finished_at": NOW + timedelta(seconds=2),
        **fields,
    }
    return ExecutionResult(number, ref, **given).to_dict()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0), (2, 1, 0), (0, 2, 1), (2, 0, 1)])
def test_in_whatever_order_it_is_written_the_record_is_the_same(django_site: Site, order: tuple[int, ...]) -> None:
    ada = django_site.user()
    writes = [
        lambda: record_enqueued(django_site.app, _sent("work.add", {"a": 1}), ada),
        lambda: record_begun(django_site.app, _begun("work.add", {"a": 1})),
        lambda: record_ended(_ended(result=3, exit_code=0, stdout="x", receipts=(Receipt("k", "r#f", 2),))),
    ]
    for index in order:
        writes[index]()
    execution = Execution.objects.get()
    assert (execution.status, execution.result, execution.exit_code, execution.stdout) == ("succeeded", 3, 0, "x")
    assert (execution.user, execution.caller, execution.task_id) == (ada, "ada", task_id_of(7))
    assert (execution.started_at, execution.duration_ms) == (NOW, 2000)
    assert execution.receipts == [{"name": "k", "reference": "r#f", "version": 2}]
    if order.index(1) < order.index(2):
        assert execution.parameters == {"a": 1}


def test_of_a_secret_parameter_its_reference_alone_is_kept(django_site: Site) -> None:
    record_enqueued(django_site.app, _sent("shop.pay", {"amount": 1, "key": "work/api#api_key"}, 1))
    record_enqueued(django_site.app, _sent("shop.pay", {"amount": 1, "key": SECRET}, 2))
    record_enqueued(django_site.app, _sent("shop.pay", {"amount": 1, "kye": SECRET}, 3))
    record_begun(django_site.app, _begun("shop.pay", {"key": SECRET, "kye": SECRET}, 4))
    found = [each.parameters for each in Execution.objects.order_by("execution_id")]
    assert found == [
        {"amount": 1, "key": "work/api#api_key"},
        {"amount": 1, "key": "***"},
        {"amount": 1, "kye": "***"},
        {"key": "***", "kye": "***"},
    ]


def test_of_an_action_that_is_not_known_here_the_names_alone_are_kept_until_a_worker_tells(django_site: Site) -> None:
    with override_settings(ATTUNE_TASKS={"packs": []}):
        record_enqueued(django_site.app, _sent("work.add", {"a": 1}))
    assert Execution.objects.get().parameters == {"a": "***"}
    record_begun(django_site.app, _begun("work.add", {"a": 1}))
    assert Execution.objects.get().parameters == {"a": 1}


def test_where_the_guard_has_found_a_secret_what_was_given_is_taken_back(django_site: Site) -> None:
    record_begun(django_site.app, _begun("shop.pay", {"amount": 1, "note": SECRET}))
    assert SECRET in str(Execution.objects.values())  # the counter-test
    record_ended(_ended(ref="shop.pay", status="error", error={"type": "secret_exposed", "message": "note"}))
    assert SECRET not in str(Execution.objects.values())
    assert Execution.objects.get().parameters == {"amount": "***", "note": "***"}


def test_what_databases_do_not_take_is_replaced_and_output_is_bounded(django_site: Site) -> None:
    assert clean_text("a\0b\ud800c") == "a\N{REPLACEMENT CHARACTER}b?c"
    assert clean_json({"a\0": [float("nan"), "\0", 1]}) == {"a\ufffd": [None, "\ufffd", 1]}
    assert tail("ä" * 10, 5) == "ää"
    with override_settings(ATTUNE_TASKS={"django": {"output_bytes": 4}}):
        record_ended(_ended(stdout="0123456789", stderr="a\0", result="\0"))
    execution = Execution.objects.get()
    assert (execution.stdout, execution.stderr, execution.result) == ("6789", "a\ufffd", "\ufffd")


def test_without_time_zones_it_is_recorded_too(django_site: Site) -> None:
    with override_settings(USE_TZ=False):
        record_begun(django_site.app, _begun("work.add", {"a": 1}))
        record_ended(_ended())
        assert Execution.objects.get().duration_ms == 2000


def test_old_records_are_deleted_and_those_without_an_end_later(django_site: Site) -> None:
    ages = {1: ("failed", 31), 2: ("failed", 29), 3: ("running", 31), 4: ("running", 301)}
    for number, (status, days) in ages.items():
        then = timezone.now() - timedelta(days=days)
        Execution.objects.create(execution_id=number, task_id="", action="a.b", status=status, enqueued_at=then)
    assert prune(timedelta(days=30)) == 2
    assert sorted(Execution.objects.values_list("execution_id", flat=True)) == [2, 3]


def test_an_end_that_nobody_wrote_down_is_taken_from_the_result_backend(django_site: Site) -> None:
    from attune_tasks import ActionFailed

    then = timezone.now() - timedelta(minutes=1)
    numbers = [new_execution_id() for _ in range(4)]
    for number in numbers:
        Execution.objects.create(execution_id=number, task_id=task_id_of(number), action="work.add", enqueued_at=then)
    backend = django_site.app.backend
    backend.store_result(task_id_of(numbers[0]), _ended(numbers[0], result=3), "SUCCESS")
    lost = _ended(numbers[1], status="error", error={"type": "worker_lost", "message": "lost"})
    backend.store_result(task_id_of(numbers[1]), ActionFailed(lost), "FAILURE")
    backend.store_result(task_id_of(numbers[2]), {}, "STARTED")
    assert refresh_unfinished(django_site.app) == 2
    found = [Execution.objects.get(execution_id=number) for number in numbers]
    assert [each.status for each in found] == ["succeeded", "error", "running", "pending"]
    assert (found[0].result, (found[1].error or {})["type"], found[0].action) == (3, "worker_lost", "work.add")


def test_a_result_backend_that_is_away_leaves_a_record_as_it_is(
    django_site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = Execution.objects.create(execution_id=7, task_id=task_id_of(7), action="work.add")

    def away(*_: Any) -> None:
        message = f"redis://:{SECRET}@away"
        raise ConnectionError(message)

    monkeypatch.setattr(type(django_site.app.backend), "get_task_meta", away)
    assert refresh(execution).status == "pending"
    assert "can't be looked up: ConnectionError" in caplog.text
    assert SECRET not in caplog.text


def test_a_writer_takes_records_at_once_and_writes_them_when_the_database_is_there(
    django_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    away = threading.Event()
    away.set()
    written: list[int] = []

    def write(number: int) -> None:
        if away.is_set():
            raise OperationalError(SECRET)
        written.append(number)

    writer = Writer(django_site.app)
    began = time.monotonic()
    for number in range(3):
        writer.soon(f"record {number}", lambda number=number: write(number))  # type: ignore[misc]
    assert time.monotonic() - began < 0.2
    wait_until(lambda: "record 0 can't be written" in caplog.text, "the first try")
    away.clear()
    wait_until(lambda: written == [0, 1, 2], "all records")
    assert SECRET not in caplog.text


def test_a_writer_that_is_never_idle_deletes_old_records_all_the_same(
    django_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attune_tasks.contrib.django import keeping, writer

    monkeypatch.setattr(keeping, "_last", {})
    monkeypatch.setattr(writer, "_BUSY_SECONDS", 0.0)
    then = timezone.now() - timedelta(days=2)
    Execution.objects.create(execution_id=7, task_id="", action="a.b", status="failed", enqueued_at=then)
    busy = Writer(django_site.app)
    with override_settings(ATTUNE_TASKS={**django_site.settings, "django": {"keep": "1d"}}):
        busy.soon("a record", lambda: None)
        wait_until(lambda: not Execution.objects.exists(), "that it is deleted", 10)
        busy.close()


def test_of_many_old_records_a_worker_deletes_some_at_a_time(
    django_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attune_tasks.contrib.django import keeping

    monkeypatch.setattr(keeping, "_last", {})
    monkeypatch.setattr(keeping, "_BATCH", 2)
    monkeypatch.setattr(keeping, "_PRUNED_AT_ONCE", 2)
    then = timezone.now() - timedelta(days=2)
    for number in range(1, 4):
        Execution.objects.create(execution_id=number, task_id="", action="a.b", status="failed", enqueued_at=then)
    with override_settings(ATTUNE_TASKS={**django_site.settings, "django": {"keep": "1d"}}):
        left = []
        for _ in range(2):
            keeping.look_after(django_site.app)
            left.append(Execution.objects.count())
    assert left == [1, 0]


def test_a_writer_is_bounded_and_ends_in_time(django_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    begun, release = threading.Event(), threading.Event()

    def wait_long() -> None:
        begun.set()
        release.wait()

    writer = Writer(django_site.app)
    writer.soon("the first record", wait_long)
    assert begun.wait(20)  # it waits no more, so that as many as there is room for can
    for number in range(1500):
        writer.soon(f"record {number}", wait_long)
    began = time.monotonic()
    writer.close()
    assert time.monotonic() - began < 4
    assert "1000 records are not written" in caplog.text
    release.set()
    wait_until(lambda: "records were dropped" in caplog.text, "that the thread goes on")


def test_what_can_never_be_written_does_not_keep_the_rest(django_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def fail() -> None:
        raise ValueError(SECRET)

    writer = Writer(django_site.app)
    writer.soon("a fault", fail)
    writer.soon("the next", done.set)
    assert done.wait(10)
    assert "a fault can't be written to the database: ValueError" in caplog.text
    assert SECRET not in caplog.text


def test_a_database_that_is_locked_for_long_delays_no_caller(django_site: Site) -> None:
    """A real lock, by another connection; in a worker the recorder hands on to its thread."""
    from django.db import connection

    from attune_tasks._celery.observing import tell
    from attune_tasks._celery.per_app import state_of

    state_of(django_site.app).worker_pid = 1
    path = Path(connection.settings_dict["NAME"])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    tell("begun", django_site.app, _begun("work.add", {"a": 1}))
    tell("ended", django_site.app, _ended(result=3))
    assert time.monotonic() - began < 0.5
    other.execute("ROLLBACK")
    other.close()
    wait_until(lambda: Execution.objects.filter(status="succeeded", parameters={"a": 1}).exists(), "the record")
    tell("closing")
