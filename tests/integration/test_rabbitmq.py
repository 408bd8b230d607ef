"""RabbitMQ with quorum queues as broker, and Redis as result backend, for an app of a user's own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from amqp.exceptions import PreconditionFailed
from celery import Celery

from attune_tasks import ExecutionResult, Handle, enqueue
from attune_tasks._celery.leaks.controls import SentControl
from attune_tasks._celery.leaks.surfaces import celery_surfaces
from attune_tasks.ids import new_execution_id, task_id_of
from attune_tasks.leaks import ValueSeeker
from attune_tasks.leaks.canaries import make_short_canary
from attune_tasks.tasks import NAME
from tests.celery_worker import CeleryWorker
from tests.integration.leaks_watch import Watch, only
from tests.integration.packs import SECRETS
from tests.integration.surfaces import captured_events, holds
from tests.integration.workers import Place, make_place, worker
from tests.rabbitmq_server import RabbitServer
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SECONDS: Final = 30
# A topic exchange lets RabbitMQ itself keep what is to run later; with a direct one the worker would hold it.
QUORUM: Final = {
    "task_default_queue_type": "quorum",
    "task_default_exchange_type": "topic",
    "task_create_missing_queue_type": "quorum",
    "task_create_missing_queue_exchange_type": "topic",
}
APP: Final = f"""\
import os
from celery import Celery

app = Celery("quorum", include=["attune_tasks.tasks"])
app.conf.update({QUORUM!r}, worker_prefetch_multiplier=1)
"""


@pytest.fixture(scope="module")
def place(rabbitmq_server: RabbitServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = make_place(tmp_path_factory.mktemp("rabbitmq-place"), redis_server, rabbitmq_server.url)
    (made.folder / "quorum.py").write_text(APP, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[CeleryWorker]:
    environ = {"PYTHONPATH": f"{place.folder}:{place.environ()['PYTHONPATH']}"}
    arguments = ("-P", "prefork", "-c", "2", "-Q", "celery,from_metadata")
    with worker(place, *arguments, app="quorum", environ=environ) as started:
        yield started


@pytest.fixture(scope="module")
def client(place: Place, running: CeleryWorker) -> Celery:
    app = place.client()
    app.conf.update(QUORUM)
    return app


def run(client: Celery, ref: str, parameters: dict[str, Any] | None = None, **options: Any) -> ExecutionResult:
    return enqueue(ref, parameters, app=client, **options).result(timeout=SECONDS)


@pytest.mark.parametrize("queue", ["celery", "from_metadata"])
def test_the_queues_are_quorum_queues(client: Celery, queue: str) -> None:
    with client.connection_for_write() as connection:
        channel: Any = connection.channel()
        channel.queue_declare(queue, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        with pytest.raises(PreconditionFailed, match="x-queue-type"):
            channel.queue_declare(queue, durable=True, auto_delete=False, arguments={"x-queue-type": "classic"})


def test_an_action_succeeds(client: Celery) -> None:
    handle = enqueue("work.add", {"a": 40}, app=client)
    result = handle.result(timeout=SECONDS)
    assert (result.status, result.result, handle.status()) == ("succeeded", 42, "succeeded")


def test_an_action_fails(client: Celery) -> None:
    result = run(client, "work.tell_shell", {"fail": True})
    assert (result.status, result.exit_code) == ("failed", 1)


def test_an_action_that_takes_too_long_is_timed_out(client: Celery) -> None:
    result = run(client, "work.late")
    assert (result.status, result.stdout) == ("timed_out", "before\n")


def test_an_action_goes_to_the_queue_of_its_metadata(client: Celery, running: CeleryWorker) -> None:
    assert run(client, "work.routed").stdout == "routed\n"


def test_what_is_to_run_later_waits_in_the_broker_and_runs_then(client: Celery, running: CeleryWorker) -> None:
    began = time.monotonic()
    handle = enqueue("work.add", {"a": 1}, countdown=2, app=client)
    assert handle.status() == "pending"
    assert run(client, "work.add", {"a": 2}).result == 4
    assert f"[{handle.task_id}] received" not in running.log()
    assert handle.result(timeout=SECONDS).result == 3
    assert time.monotonic() - began >= 2


def test_a_revoked_execution_is_cancelled(client: Celery) -> None:
    task_id = task_id_of(new_execution_id())
    client.control.revoke(task_id)
    wait_until(lambda: task_id in str(client.control.inspect(timeout=5, limit=1).revoked()), "the revoke's arrival")
    result = Handle(client.send_task(NAME, args=["work.add", {"a": 1}], task_id=task_id)).result(timeout=SECONDS)
    assert result.error
    assert (result.status, result.error["type"]) == ("cancelled", "revoked")


def test_ping_and_inspect_are_answered(client: Celery, tmp_path: Path) -> None:
    assert [answer for each in client.control.ping(timeout=5, limit=1) or () for answer in each.values()] == [
        {"ok": "pong"}
    ]
    handle = enqueue("work.wait", {"until": str(tmp_path / "go")}, app=client)
    wait_until(lambda: handle.status() == "running", "the start")
    active = client.control.inspect(timeout=5, limit=1).active() or {}
    assert [task["id"] for tasks in active.values() for task in tasks] == [handle.task_id]
    (tmp_path / "go").touch()
    assert handle.result(timeout=SECONDS).status == "succeeded"


def test_events_tell_what_happened_and_no_secret_is_in_them_nor_in_the_backend_or_the_log(
    client: Celery, place: Place, running: CeleryWorker
) -> None:
    with captured_events(client) as events:
        handles = [enqueue("work.tell", {"fail": fail}, app=client) for fail in (False, True)]
        assert [handle.result(timeout=SECONDS).status for handle in handles] == ["succeeded", "failed"]
        wait_until(lambda: {"task-succeeded", "task-failed"} <= {each["type"] for each in events}, "the events")
        surfaces = {"events": json.dumps(events).encode(), "log": running.log_path.read_bytes(), **place.stored()}
        for name, surface in surfaces.items():
            assert all(handle.task_id.encode() in surface for handle in handles), name
            assert [secret for secret in SECRETS.values() if holds(surface, secret)] == [], name
        # The counter-test.
        Handle(client.send_task(NAME, args=["work.add", {"a": 1}], shadow="Planted-Kd83")).result(timeout=SECONDS)
        wait_until(lambda: holds(json.dumps(events).encode(), "Planted-Kd83"), "the planted event")
        assert holds(running.log_path.read_bytes(), "Planted-Kd83")


def test_leak_check_hears_events_and_says_why_it_does_not_read_queues(
    place: Place, client: Celery, running: CeleryWorker
) -> None:
    hostname = next(iter((client.control.ping(timeout=5) or [{}])[0]))
    names = ("broker keys", "backend keys", "pub/sub", "events", "inspect", "result")
    watch = Watch(client, lambda seeker: only(celery_surfaces(client, seeker, hostname), *names))

    def honest(seeker: ValueSeeker) -> SentControl:
        handle = enqueue("work.tell", {"fail": False}, app=client, execution_id=(made := new_execution_id()))
        seeker.add(made, SECRETS)
        return SentControl(handle.task_id, made, runs=True)

    def named(seeker: ValueSeeker) -> SentControl:
        seeker.add(made := new_execution_id(), {"value": (value := make_short_canary())})
        client.send_task(NAME, args=["work.add", {"a": 1}], shadow=value, task_id=task_id_of(made))
        return SentControl(task_id_of(made), made, runs=True)

    watch.run(honest, "honest")
    watch.run(named, "named")
    rows = watch.end()
    assert {name: rows[name, "honest"].verdict for name in names} == dict.fromkeys(names, "clean") | {
        "broker keys": "not looked at"
    }
    assert "kind amqp can't be read" in rows["broker keys", "honest"].why
    assert rows["events", "named"].verdict == "LEAK"
    assert {hit.where for hit in rows["events", "named"].hits} >= {"event task-received, field name"}
