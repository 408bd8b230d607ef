"""A message that Redis, or a worker, loses between its queue and the list of unacknowledged ones is sent again."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, states

from attune_tasks import Handle, enqueue
from attune_tasks._celery.claims.reaping import reap
from attune_tasks._celery.claims.resending import resend_lost
from attune_tasks._celery.executions_seen import seen_executions
from attune_tasks.tasks import run_action
from tests.celery_worker import CeleryWorker
from tests.integration.claims_pack import starts, write_claims_pack
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SECONDS = 40
EXPIRY = {"ATTUNE_TASKS_CLAIMS__EXPIRY": "2", "ATTUNE_TASKS_GRACE": "0.5"}
STATE = "attune:{attune_tasks}:"


@pytest.fixture
def place(tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name, value in EXPIRY.items():
        monkeypatch.setenv(name, value)
    made = make_place(tmp_path, redis_server)
    write_claims_pack(made)
    return made


@pytest.fixture
def client(place: Place) -> Celery:
    app = place.client()
    app.main = "attune_tasks"
    return app


@pytest.fixture
def workers(place: Place) -> Iterator[Any]:
    with ExitStack() as stack:

        def start(name: str, *arguments: str) -> CeleryWorker:
            return stack.enter_context(
                worker(place, "-n", f"{name}@here", *arguments, environ=EXPIRY, log=f"{name}.log")
            )

        yield start


def redis_of(place: Place) -> Any:
    assert place.redis
    return place.redis.client(place.database)


def waiting(place: Place, queue: str = "celery") -> dict[str, bytes]:
    """Give the messages in a queue, by their task ids."""
    with redis_of(place) as redis:
        return {json.loads(message)["headers"]["id"]: message for message in redis.lrange(queue, 0, -1)}


def lose(place: Place, task_id: str, queue: str = "celery") -> None:
    """Take a message out of its queue as a worker does that is killed before it has noted it."""
    with redis_of(place) as redis:
        assert redis.lrem(queue, 1, waiting(place, queue)[task_id]) == 1


def state_left(place: Place, execution_id: int) -> list[bytes]:
    """Give what is kept for sending an execution again."""
    with redis_of(place) as redis:
        left: list[bytes] = list(redis.keys(f"{STATE}message:{execution_id}"))
        sets = ("unclaimed", "queued")
        return left + [name.encode() for name in sets if redis.zscore(STATE + name, execution_id) is not None]


@pytest.mark.parametrize("how", ["enqueue", "delay"])
def test_a_lost_message_is_sent_again_and_its_action_runs_once(
    place: Place, client: Celery, workers: Any, how: str
) -> None:
    file = place.folder / "file"
    if how == "enqueue":
        handle = enqueue("claims.quick", {"file": str(file)}, app=client)
    else:
        sent = client.tasks[run_action.name].delay("claims.quick", {"file": str(file)})
        handle = Handle.from_task_id(sent.id, app=client)
    assert len(state_left(place, handle.execution_id)) == 3
    assert [seen.state for seen in seen_executions(client)] == ["queued"]
    lose(place, handle.task_id)
    workers("one", "-c", "1")
    result = handle.result(SECONDS)
    assert (result.status, result.attempt) == ("succeeded", 1)
    assert starts(file) == 1
    wait_until(lambda: not state_left(place, handle.execution_id), "nothing of it waits")
    assert "is sent again" in (place.folder / "one.log").read_text()


def test_a_lost_step_of_a_chain_and_a_lost_further_attempt_are_sent_again(
    place: Place, client: Celery, workers: Any
) -> None:
    first, second = place.folder / "first", place.folder / "second"
    task = client.tasks[run_action.name]
    steps = [task.si("claims.quick", {"file": str(first)}), task.si("claims.quick", {"file": str(second)})]
    steps[1].set(queue="later")
    sent: Any = chain(*steps).apply_async()
    one = workers("one", "-Q", "celery", "-c", "1")
    assert Handle.from_task_id(sent.parent.id, app=client).result(SECONDS).succeeded
    wait_until(lambda: sent.id in waiting(place, "later"), "the next step is sent")
    lose(place, sent.id, "later")
    client.control.add_consumer("later")
    handle = Handle.from_task_id(sent.id, app=client)
    assert handle.result(SECONDS).succeeded
    assert (starts(first), starts(second)) == (1, 1)
    again = place.folder / "again"
    held = enqueue("claims.again", {"file": str(again)}, app=client)
    wait_until(lambda: starts(again), "it started")
    one.kill(signal.SIGKILL)
    # Nobody consumes: what the reaper of this client sends stays in the queue, and is lost.
    wait_until(lambda: reap(client) and held.task_id in waiting(place), "its next attempt is sent", SECONDS)
    lose(place, held.task_id)
    workers("two", "-c", "1")
    wait_until(lambda: starts(again) == 2, "its next attempt", SECONDS)
    again.with_name("again.go").touch()
    assert held.result(SECONDS).attempt == 2


def test_what_still_waits_in_a_queue_or_for_its_time_is_not_sent_again(
    place: Place, client: Celery, workers: Any
) -> None:
    handles = [enqueue("claims.quick", {"file": str(place.folder / f"f{n}")}, app=client) for n in range(5)]
    late = enqueue("claims.quick", {"file": str(place.folder / "late")}, app=client, countdown=600)
    lost = handles.pop(2)
    lose(place, lost.task_id)
    with redis_of(place) as redis:
        redis.zadd(STATE + "unclaimed", {str(each.execution_id): 1 for each in [*handles, lost]})
        assert resend_lost(client) == 0, "older ones wait before it"
        for _ in range(2):
            redis.rpop("celery")  # somebody receives those, and is lost with them
        redis.zadd(STATE + "unclaimed", {str(lost.execution_id): 1, str(handles[2].execution_id): 1})
        assert resend_lost(client) == 1
        assert resend_lost(client) == 0, "its turn comes again later"
        assert redis.llen("celery") == 4
        assert redis.zscore(STATE + "unclaimed", late.execution_id) > redis.time()[0] * 1000 + 590_000
    workers("one", "-c", "2")
    assert all(each.result(SECONDS).succeeded for each in [*handles, lost])
    assert [starts(place.folder / f"f{n}") for n in range(5)] == [1] * 5
    assert late.status() == "pending"


def test_copies_run_once_and_what_has_expired_or_is_cancelled_does_not_run(
    place: Place, client: Celery, workers: Any
) -> None:
    twice, expired, cancelled = (
        enqueue("claims.quick", {"file": str(place.folder / name)}, app=client, expires=expires)
        for name, expires in (("twice", None), ("expired", 0.5), ("cancelled", None))
    )
    lose(place, expired.task_id)
    lose(place, cancelled.task_id)
    cancelled.cancel(timeout=0.2)
    with redis_of(place) as redis:
        message = redis.lindex("celery", 0)
        redis.rpush("celery", message, message)
    workers("one", "-c", "2")
    assert twice.result(SECONDS).succeeded
    ends: tuple[str, ...] = (states.REVOKED, *states.READY_STATES)
    wait_until(lambda: client.AsyncResult(expired.task_id).state in ends, "it is over", SECONDS)
    assert str(client.AsyncResult(expired.task_id).state) == states.REVOKED
    wait_until(lambda: client.AsyncResult(cancelled.task_id).state in ends, "it is cancelled", SECONDS)
    assert [starts(place.folder / name) for name in ("twice", "expired", "cancelled")] == [1, 0, 0]


def test_a_caller_hears_where_an_enqueue_can_not_be_noted_and_a_delay_goes_out(place: Place, client: Celery) -> None:
    with redis_of(place) as redis:
        redis.config_set("maxmemory", "1")  # writes are refused, of the note and of the message alike
        try:
            with pytest.raises(Exception, match=r"OOM|memory"):
                enqueue("claims.quick", {"file": "x"}, app=client)
        finally:
            redis.config_set("maxmemory", "0")
        assert not redis.keys(f"{STATE}execution:*")
        assert not redis.keys(f"{STATE}message:*")
