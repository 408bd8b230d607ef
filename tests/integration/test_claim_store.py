"""The records of claims, by the scripts alone on a real Redis: what each step gives, whoever comes first or twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery, chord, states

import attune_tasks.tasks
from attune_tasks import enqueue
from attune_tasks._celery import known_ids
from attune_tasks._celery.claims.message import StoredMessage
from attune_tasks._celery.claims.reaping import reap
from attune_tasks._celery.claims.store import ClaimStore, End, Ticket, record_store
from attune_tasks._celery.shared_state import shared_state
from attune_tasks.ids import execution_id_of, new_execution_id, task_id_of
from attune_tasks.result import ExecutionResult
from tests.redis_server import RedisServer
from tests.waiting import wait_until

EXPIRY = 1.0
ONE = Ticket("a.b", 1, "queue")


@pytest.fixture
def database(redis_server: RedisServer) -> int:
    return redis_server.new_database()


@pytest.fixture
def client(redis_server: RedisServer, database: int) -> Iterator[redis.Redis]:
    with redis_server.client(database) as opened:
        yield opened


@pytest.fixture
def app(redis_server: RedisServer, database: int) -> Iterator[Celery]:
    made = Celery("records", set_as_current=False)
    url = redis_server.url(database)
    made.conf.update(broker_url=url, result_backend=url)
    made.conf.attune_tasks = {"packs": [], "claims": {"expiry": EXPIRY}}
    made.finalize()
    yield made
    backend: Any = made.backend
    backend.result_consumer.stop()
    backend.client.close()
    made.close()


@pytest.fixture
def store(app: Celery) -> ClaimStore:
    made = record_store(app)
    assert made
    return made


def claim(  # noqa: PLR0913, PLR0917 - one record
    store: ClaimStore, execution_id: int, token: str = "t", message: str = "m", attempts: int = 1, attempt: int = 1
) -> str:
    record: dict[str, str | int] = {
        "task_id": task_id_of(execution_id),
        "ref": "a.b",
        "attempts": attempts,
        "message": message,
    }
    return store.claim(execution_id, token, attempt, worker="w@h:1", is_free_here=True, record=record)


def end_of(
    execution_id: int, state: str = states.SUCCESS, status: Any = "succeeded", task_id: str | None = None
) -> End:
    error = None if status == "succeeded" else {"type": status, "message": ""}
    result = ExecutionResult(execution_id, "a.b", status, error=error)
    return End.of(task_id or task_id_of(execution_id), state, result.to_dict())


def reaped(app: Celery) -> None:
    """Reap until nothing is due any more: a claim counts as expired only when it was found late twice."""
    found = record_store(app)
    assert found

    def is_done() -> bool:
        reap(app)
        return not found.state.client.exists(found.state.key("claims"))

    wait_until(is_done, "nothing is due", 15)


def test_an_end_of_what_nobody_has_claimed_is_stored_and_stops_no_reaper(app: Celery, store: ClaimStore) -> None:
    never, lost = new_execution_id(), new_execution_id()
    assert store.finish(end_of(never, states.FAILURE, "cancelled"), "")[0] == "first"
    assert claim(store, lost, message="") == "claimed"
    assert store.begin(lost, "t", None)
    reaped(app)
    assert app.backend.get_state(task_id_of(never)) == states.FAILURE
    assert app.backend.get_state(task_id_of(lost)) == states.FAILURE


def found_lost(store: ClaimStore, execution_id: int) -> tuple[str, int]:
    """Give what follows a claim that nobody renews, and for which attempt."""
    found: list[tuple[str, int]] = []

    def is_due() -> bool:
        found.extend((each.word, each.attempt) for each in store.reap(execution_id))
        return bool(found)

    wait_until(is_due, "it is found lost")
    (only,) = found
    return only


def test_what_was_not_begun_is_sent_again_ten_times_and_is_lost_then(store: ClaimStore) -> None:
    soon = ClaimStore(store.state, 0.1, 60)
    execution_id = new_execution_id()
    follows = []
    for number in range(11):
        assert claim(soon, execution_id, f"t{number}") == "claimed"
        follows.append(found_lost(soon, execution_id))
    assert follows == [*[("again", 1)] * 10, ("lost", 1)]
    assert soon.read(execution_id, "state", "status") == ["final", "worker_lost"]
    assert claim(soon, execution_id) == "final"


def test_what_was_begun_has_as_many_attempts_as_it_may(store: ClaimStore) -> None:
    soon = ClaimStore(store.state, 0.1, 60)
    execution_id = new_execution_id()
    follows = []
    for attempt in (1, 2, 3):
        assert claim(soon, execution_id, f"t{attempt}", attempts=3, attempt=attempt) == "claimed"
        assert soon.begin(execution_id, f"t{attempt}", None)
        follows.append(found_lost(soon, execution_id))
    assert follows == [("again", 2), ("again", 3), ("lost", 3)]


def test_the_same_end_may_be_written_twice_and_another_one_may_not(store: ClaimStore) -> None:
    execution_id = new_execution_id()
    claim(store, execution_id)
    assert store.finish(end_of(execution_id), "t")[0] == "first"
    assert store.finish(end_of(execution_id), "t")[0] == "first"  # the answer got lost on its way
    assert store.finish(end_of(execution_id, states.FAILURE, "failed"), "t")[0] == "no"
    assert store.finish(end_of(execution_id), "other")[0] == "no"
    assert claim(store, execution_id, "again") == "final"


def test_tickets_go_to_the_oldest_that_waits(store: ClaimStore) -> None:
    first, second, newer, newest = (new_execution_id() for _ in range(4))

    def take(execution_id: int) -> str:
        began = time.time_ns() // 1_000_000
        wait_until(lambda: time.time_ns() // 1_000_000 > began, "the next millisecond, by which they are in order")
        assert claim(store, execution_id, f"t{execution_id}") == "claimed"
        return store.take_ticket(execution_id, f"t{execution_id}", ONE)

    assert [take(first), take(second)] == ["taken", "parked"]
    _, due = store.finish(end_of(first), f"t{first}")
    assert due
    assert due.execution_id == second
    assert take(newer) == "parked"  # though nobody runs: the ticket is that of the one which was woken
    assert take(newest) == "parked"
    assert take(second) == "taken"
    _, due = store.finish(end_of(second), f"t{second}")
    assert due
    assert due.execution_id == newer


def test_an_end_of_what_is_parked_wakes_nobody(store: ClaimStore) -> None:
    first, second, third = (new_execution_id() for _ in range(3))
    for execution_id in (first, second, third):
        claim(store, execution_id, f"t{execution_id}")
        store.take_ticket(execution_id, f"t{execution_id}", ONE)
    assert store.finish(end_of(second, states.FAILURE, "cancelled"), "", only_waiting=True) == ("first", None)
    _, due = store.finish(end_of(first), f"t{first}")
    assert due
    assert due.execution_id == third


def test_a_note_is_known_again_and_forgotten_by_who_made_it_alone(store: ClaimStore) -> None:
    execution_id = new_execution_id()
    assert store.note(execution_id, "mine", 60, listed=True, message="m")
    assert store.note(execution_id, "mine", 60, listed=True, message="m"), "the answer to the first may have been lost"
    assert not store.note(execution_id, "another's", 60, listed=True, message="m")
    store.forget(execution_id, "another's")
    assert store.queued_since(execution_id)
    assert not store.note(execution_id, "another's", 60, listed=True)
    store.forget(execution_id, "mine")
    assert store.queued_since(execution_id) is None
    assert store.note(execution_id, "another's", 60, listed=True)


def test_where_the_limit_was_raised_all_that_fit_go_on(store: ClaimStore, client: redis.Redis) -> None:
    runs, later, *waiting = (new_execution_id() for _ in range(6))

    def woken() -> set[int]:
        return {each for each in waiting if store.read(each, "state") == ["again"]}

    for execution_id in (runs, *waiting):
        claim(store, execution_id)
        store.take_ticket(execution_id, "t", ONE)
    claim(store, later)
    assert store.take_ticket(later, "t", Ticket("a.b", 3, "queue")) == "taken"
    _, first = store.finish(end_of(later), "t")
    assert first
    assert len(woken()) == 2
    assert client.zcard(store.state.key("tickets", "a.b")) == 3
    assert {each.execution_id for each in store.reap()} == woken() - {first.execution_id}
    store.finish(end_of(runs), "t")  # which had its ticket by the limit of then
    assert len(woken()) == 3


def test_what_is_parked_is_due_when_it_expires(store: ClaimStore) -> None:
    runs, expires, waits = (new_execution_id() for _ in range(3))
    for execution_id, seconds in ((runs, None), (expires, 1.0), (waits, None)):
        claim(store, execution_id)
        store.take_ticket(execution_id, "t", ONE, seconds)
    store.renew({runs: "t"})
    assert store.reap(expires) == []
    wait_until(lambda: [each.word for each in store.reap(expires)] == ["again"], "it is due")
    assert store.read(expires, "state", "ticket") == ["again", ""]
    assert store.read(waits, "state") == ["parked"]
    _, woken = store.finish(end_of(runs), "t")
    assert woken
    assert woken.execution_id == waits


def test_a_ticket_of_a_record_that_is_gone_is_none(store: ClaimStore, client: redis.Redis) -> None:
    gone, other = new_execution_id(), new_execution_id()
    claim(store, gone)
    assert store.take_ticket(gone, "t", ONE) == "taken"
    client.delete(store.state.key("claim", gone))
    claim(store, other)
    assert store.take_ticket(other, "t", ONE) == "taken"


def test_a_retry_that_is_sent_is_listed_and_kept_no_longer_than_a_result(
    store: ClaimStore, client: redis.Redis
) -> None:
    execution_id = new_execution_id()
    claim(store, execution_id)
    assert store.begin(execution_id, "t", None)
    assert store.again(execution_id, "t", 2)[0] == "m"
    assert store.again(execution_id, "t", 2)[0] == "m"  # the answer got lost on its way
    store.published(execution_id, 2)
    assert [(row[0], row[2]) for row in store.listed()] == [(str(execution_id), "again")]
    assert 0 < client.ttl(store.state.key("claim", execution_id)) <= 86400


def test_without_claims_nothing_is_noted_as_waiting(
    redis_server: RedisServer, app: Celery, client: redis.Redis
) -> None:
    app.conf.attune_tasks = {"packs": [], "claims": {"enabled": False}}
    app.__dict__.pop("_attune_tasks_state", None)
    enqueue("a.b", app=app)
    assert not client.exists("attune:{records}:queued")


def test_a_part_of_a_chord_whose_worker_is_killed_after_it_was_stored_is_counted_once(
    app: Celery, store: ClaimStore, client: redis.Redis
) -> None:
    task = app.tasks[attune_tasks.tasks.NAME]
    sent: Any = chord([task.si("a.b"), task.si("a.c")], task.si("a.body")).apply_async()
    for number, message in enumerate(_taken(client)):
        execution_id = execution_id_of(message.task_id)
        claim(store, execution_id, message=message.to_json())
        assert store.begin(execution_id, "t", None)
        end = end_of(execution_id, task_id=message.task_id)
        store.finish(end, "t")
        data = json.loads(end.outcome)["result"]
        # As mark_as_done does it; of the first part the worker is killed between the two.
        app.backend.store_result(message.task_id, data, states.SUCCESS, request=message.context(app))
        if number:
            app.backend.on_chord_part_return(message.context(app), states.SUCCESS, data)
    reaped(app)
    assert [part.state for part in sent.parent.results] == [states.SUCCESS, states.SUCCESS]
    assert [json.loads(raw)["headers"]["id"] for raw in client.lrange("celery", 0, -1)] == [sent.id]


def test_an_errback_that_was_sent_already_is_sent_again_as_the_same_task(
    app: Celery, store: ClaimStore, client: redis.Redis
) -> None:
    task = app.tasks[attune_tasks.tasks.NAME]
    task.apply_async(("a.b",), link_error=[task.si("a.one"), task.si("a.two") | task.si("a.three")])
    (message,) = _taken(client)
    execution_id = execution_id_of(message.task_id)
    ids: list[list[str]] = []
    for _ in range(2):
        claim(store, execution_id, message=message.to_json())
        store.finish(end_of(execution_id, states.FAILURE, "failed", message.task_id), "t")
        reaped(app)
        ids.append([each.task_id for each in _taken(client)])
        client.delete(store.state.key("claim", execution_id))
        assert len(ids[-1]) == 2
    assert ids[0] == ids[1]


def test_an_idempotency_key_whose_first_answer_was_lost_still_sends(
    app: Celery, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = shared_state(app)
    assert state
    real = state.client.set

    def set_twice(*arguments: Any, **options: Any) -> Any:
        real(*arguments, **options)  # whose answer is lost: the client asks again by itself
        return real(*arguments, **options)

    monkeypatch.setattr(state.client, "set", set_twice)
    monkeypatch.setattr(known_ids, "shared_state", lambda _: state)
    enqueue("a.b", idempotency_key="x", app=app)
    assert client.llen("celery") == 1


def _taken(client: redis.Redis) -> list[StoredMessage]:
    """Take the messages out of the queue, the first one first."""
    import base64

    raws: Any = client.lrange("celery", 0, -1)
    client.delete("celery")
    found = []
    for raw in reversed(raws):
        message = json.loads(raw)
        found.append(
            StoredMessage(
                headers=message["headers"],
                body=base64.b64decode(message["body"]).decode(),
                is_base64=False,
                content_type="application/json",
                content_encoding="utf-8",
                exchange="",
                routing_key="celery",
                reply_to=None,
                correlation_id=message["properties"]["correlation_id"],
                priority=0,
            )
        )
    return found
