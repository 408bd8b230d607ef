"""Where executions share state: keys, forks, ids that exist; on a real Redis."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.crc import key_slot

from attune_tasks import enqueue
from attune_tasks._celery.embedded import embedded_broker_config, embedded_config
from attune_tasks._celery.shared_state import SharedState, shared_state
from attune_tasks.errors import ExecutionExistsError, SettingsError, UnknownActionError
from attune_tasks.ids import execution_id_of, new_execution_id
from attune_tasks.testing import captured, fake_result
from tests.integration.packs import write_packs
from tests.redis_server import RedisServer

Make = Callable[..., Celery]


@pytest.fixture
def database(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Give a database of this test alone."""
    with redis_server.client(8) as client:
        client.flushdb()
        yield client


@pytest.fixture
def make(tmp_path: Path, redis_server: RedisServer, database: redis.Redis) -> Iterator[Make]:
    """Make apps on that database; what they have open is closed in the end."""
    write_packs(tmp_path)
    made: list[Celery] = []

    def make_app(name: str | None = "billing", url: str | None = None, **settings: Any) -> Celery:
        url = url or redis_server.url(8)
        app = Celery(name, broker=url, backend=url, set_as_current=False)
        app.conf.attune_tasks = {"packs": [str(tmp_path / "packs")], **settings}
        made.append(app)
        return app

    yield make_app
    for app in made:
        backend: Any = app.backend
        if hasattr(backend, "client"):
            backend.result_consumer.stop()
            backend.client.close()
        app.close()


def state_of(app: Celery) -> SharedState:
    state = shared_state(app)
    assert state
    return state


def names(database: redis.Redis, pattern: str) -> list[str]:
    found: Any = database.keys(pattern)
    return sorted(key.decode() for key in found)


def test_two_apps_in_one_database_do_not_see_each_others_executions(make: Make, database: redis.Redis) -> None:
    wanted = new_execution_id()
    enqueue("work.add", {"a": 1}, execution_id=wanted, app=make("billing"))
    # The same id, of another app. Its result would be the same key of Celery's, so it has one of its own there.
    enqueue("work.add", {"a": 1}, execution_id=wanted, app=make("shipping"))
    assert names(database, "attune:*") == [
        f"attune:{{{name}}}:{key}"
        for name in ("billing", "shipping")
        for key in (f"execution:{wanted}", f"message:{wanted}", "queued", "unclaimed")
    ]
    with pytest.raises(ExecutionExistsError):
        enqueue("work.add", {"a": 1}, execution_id=wanted, app=make("billing"))


def test_apps_that_are_given_the_same_name_share(make: Make) -> None:
    wanted = new_execution_id()
    enqueue("work.add", {"a": 1}, execution_id=wanted, app=make("web"))
    with pytest.raises(ExecutionExistsError):
        enqueue("work.add", {"a": 1}, execution_id=wanted, app=make("other", state_name="web"))


@pytest.mark.parametrize(
    ("name", "settings", "prefix"),
    [
        ("billing", {}, "attune:{billing}:"),
        (None, {}, "attune:{default}:"),
        ("a{b}c", {}, "attune:{a(b)c}:"),
        ("billing", {"state_name": "one name"}, "attune:{one name}:"),
    ],
)
def test_every_key_has_the_apps_name_as_its_hash_tag(
    make: Make, name: str | None, settings: dict[str, str], prefix: str
) -> None:
    state = state_of(make(name, **settings))
    assert state.key("execution", 5) == f"{prefix}execution:5"
    assert {key_slot(state.key(*parts).encode()) for parts in [("a",), ("b", 1), ("c", "d{e}", 2)]} == {
        key_slot(prefix.split("{")[1].split("}", maxsplit=1)[0].encode())
    }


def test_a_name_that_would_end_the_hash_tag_is_refused(make: Make) -> None:
    with pytest.raises(SettingsError, match="state_name: must match"):
        shared_state(make(state_name="a}b"))


@pytest.mark.parametrize(("given", "front"), [("team", "team_"), ("team:", "team:"), ("t.", "t."), ("{x}", "{x}_")])
def test_a_global_keyprefix_stands_in_front_as_before_the_results(
    make: Make, database: redis.Redis, given: str, front: str
) -> None:
    app = make()
    app.conf.result_backend_transport_options = {"global_keyprefix": given}
    backend: Any = app.backend
    assert backend.task_keyprefix.decode() == f"{front}celery-task-meta-"
    handle = enqueue("work.add", {"a": 1}, app=app)
    wanted = [f"{kind}:{handle.execution_id}" for kind in ("execution", "message")] + ["queued", "unclaimed"]
    assert names(database, "*attune:*") == [f"{front}attune:{{billing}}:{each}" for each in wanted]
    state = state_of(app)
    assert len({key_slot(state.key(name).encode()) for name in ("a", "b", "c")}) == 1


def test_the_client_is_the_result_backends_own(make: Make) -> None:
    app = make()
    backend: Any = app.backend
    assert state_of(app).client is backend.client


def test_a_redis_of_its_own_can_be_named(tmp_path: Path, redis_server: RedisServer, database: redis.Redis) -> None:
    write_packs(tmp_path)
    app = Celery("billing", set_as_current=False)
    app.conf.update(embedded_config(tmp_path / "embedded"))
    app.conf.attune_tasks = {"packs": [str(tmp_path / "packs")]}
    assert shared_state(app) is None
    named = Celery("billing", set_as_current=False)
    named.conf.update(embedded_config(tmp_path / "embedded"))
    named.conf.attune_tasks = {"packs": [str(tmp_path / "packs")], "state_url": redis_server.url(8)}
    handle = enqueue("work.add", {"a": 1}, app=named)
    assert database.exists(f"attune:{{billing}}:execution:{handle.execution_id}")
    assert state_of(named).client is state_of(named).client
    state_of(named).client.close()


@pytest.mark.parametrize("url", ["amqp://localhost", "file:///tmp/x", "nonsense://:pa55word@x", "redis+socket"])
def test_a_state_url_that_is_no_redis_is_refused_and_not_quoted(make: Make, url: str) -> None:
    with pytest.raises(SettingsError, match="state_url: expected a Redis") as refused:
        shared_state(make(state_url=url))
    assert "pa55word" not in str(refused.value)


@pytest.mark.parametrize("own", [False, True])
def test_a_forked_process_has_a_connection_of_its_own(make: Make, redis_server: RedisServer, *, own: bool) -> None:
    app = make(**({"state_url": redis_server.url(8)} if own else {}))
    before = state_of(app).client.client_id()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover - coverage ends with os._exit
        answer = b"0"
        try:
            client = state_of(app).client
            answer = str(client.client_id()).encode() + b" " + str(client.client_id()).encode()
        finally:
            os.write(writing, answer)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        ids = [int(text) for text in answers.read().split()]
    os.waitpid(child, 0)
    assert len(set(ids)) == 1
    assert ids[0] not in {0, before}
    assert state_of(app).client.client_id() == before  # the parent's still is its own
    state_of(app).client.close()


def test_a_given_id_that_waits_or_was_made_by_enqueue_is_refused(make: Make, database: redis.Redis) -> None:
    app = make()
    made = enqueue("work.add", {"a": 1}, app=app)
    waiting = database.llen("celery")
    with pytest.raises(ExecutionExistsError, match=f"{made.execution_id} exists already, as task {made.task_id}"):
        enqueue("work.add", {"a": 1}, execution_id=made.execution_id, app=app)
    assert database.llen("celery") == waiting


def test_a_given_id_that_only_the_result_backend_knows_is_refused(make: Make, database: redis.Redis) -> None:
    app = make()
    foreign = app.tasks["attune_tasks.run_action"].delay("work.add", {"a": 1})
    database.set(f"celery-task-meta-{foreign.id}", '{"status": "STARTED", "result": null}')
    with pytest.raises(ExecutionExistsError):
        enqueue("work.add", {"a": 1}, execution_id=execution_id_of(foreign.id), app=app)


def test_of_many_who_give_one_id_at_once_one_is_the_first(make: Make, database: redis.Redis) -> None:
    wanted, app = new_execution_id(), make()
    together, ends = threading.Barrier(8), []

    def give() -> None:
        together.wait()
        try:
            enqueue("work.add", {"a": 1}, execution_id=wanted, app=app)
            ends.append("sent")
        except ExecutionExistsError:
            ends.append("refused")
        finally:
            backend: Any = app.backend  # each thread has one
            backend.result_consumer.stop()
            backend.client.close()

    threads = [threading.Thread(target=give) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["refused"] * 7 + ["sent"]
    assert database.llen("celery") == 1


def test_an_id_is_kept_as_long_as_a_result_and_longer_where_it_starts_later(make: Make, database: redis.Redis) -> None:
    app = make()
    app.conf.result_expires = timedelta(hours=2)

    def kept(**options: Any) -> int:
        handle = enqueue("work.add", {"a": 1}, app=app, **options)
        ttl: Any = database.ttl(f"attune:{{billing}}:execution:{handle.execution_id}")
        return int(ttl)

    assert 7190 <= kept() <= 7201
    assert 10790 <= kept(countdown=3600) <= 10801
    assert 10790 <= kept(eta=datetime.now(UTC) + timedelta(hours=1)) <= 10801
    app.conf.result_expires = None
    assert 7 * 86400 - 10 <= kept() <= 7 * 86400 + 1


def test_an_id_is_given_back_where_the_message_could_not_be_sent(make: Make, database: redis.Redis) -> None:
    app = make()
    wanted = new_execution_id()
    with pytest.raises(UnknownActionError):
        enqueue("work.nothing", {"a": 1}, execution_id=wanted, app=app)
    assert not database.exists(f"attune:{{billing}}:execution:{wanted}")
    assert enqueue("work.add", {"a": 1}, execution_id=wanted, app=app).execution_id == wanted


def test_who_can_note_nothing_takes_no_id_from_who_could(make: Make, database: redis.Redis) -> None:
    app, wanted = make(), new_execution_id()
    enqueue("work.add", {"a": 1}, execution_id=wanted, app=app)
    database.config_set("maxmemory", 1)
    try:
        with pytest.raises(OperationalError):
            enqueue("work.add", {"a": 1}, execution_id=wanted, app=app)
    finally:
        database.config_set("maxmemory", 0)
    assert len(names(database, "attune:*")) == 4, "the first one's note, its message, and both lists of it"
    with pytest.raises(ExecutionExistsError):
        enqueue("work.add", {"a": 1}, execution_id=wanted, app=app)


def test_what_is_captured_takes_no_id(make: Make, database: redis.Redis) -> None:
    app, wanted = make(), new_execution_id()
    with captured():
        enqueue("work.add", {"a": 1}, execution_id=wanted, app=app)
    with fake_result("work.add", 3):
        assert enqueue("work.add", {"a": 1}, execution_id=wanted, app=app).result(1).result == 3
    assert names(database, "*attune:*") == []


def test_a_new_id_costs_one_command(make: Make, database: redis.Redis) -> None:
    app = make()
    enqueue("work.add", {"a": 1}, app=app)
    before: Any = database.info("commandstats")
    enqueue("work.add", {"a": 1}, app=app)
    after: Any = database.info("commandstats")

    def calls(stats: Any, name: str) -> int:
        return int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"])

    assert calls(after, "evalsha") - calls(before, "evalsha") == 1
    assert calls(after, "set") - calls(before, "set") == 2, "both within it"
    assert calls(after, "get") == calls(before, "get")


def test_without_redis_a_given_id_with_a_result_is_refused_and_two_that_wait_are_not_told(tmp_path: Path) -> None:
    write_packs(tmp_path)
    app = Celery("plain", set_as_current=False)
    app.conf.update(embedded_config(tmp_path / "embedded"))
    app.conf.attune_tasks = {"packs": [str(tmp_path / "packs")]}
    handle = enqueue("work.add", {"a": 1}, app=app)
    assert enqueue("work.add", {"a": 1}, execution_id=handle.execution_id, app=app).task_id == handle.task_id
    app.backend.store_result(handle.task_id, {}, "SUCCESS")
    with pytest.raises(ExecutionExistsError):
        enqueue("work.add", {"a": 1}, execution_id=handle.execution_id, app=app)


def test_without_any_result_backend_a_given_id_is_taken(tmp_path: Path) -> None:
    write_packs(tmp_path)
    app = Celery("plain", set_as_current=False)
    app.conf.update(embedded_broker_config(tmp_path / "embedded"))
    app.conf.attune_tasks = {"packs": [str(tmp_path / "packs")]}
    wanted = new_execution_id()
    assert enqueue("work.add", {"a": 1}, execution_id=wanted, app=app).execution_id == wanted


def test_tls_comes_with_the_result_backends_client(tmp_path: Path, make: Make) -> None:
    server = RedisServer(tmp_path, tls=True)
    server.start()
    try:
        server.note("broker, result backend and shared state by TLS")
        app = make(url=server.url())
        handle = enqueue("work.add", {"a": 1}, app=app)
        with pytest.raises(ExecutionExistsError):
            enqueue("work.add", {"a": 1}, app=app, execution_id=handle.execution_id)
        with server.client() as client:
            assert list(client.scan_iter("attune:{billing}:*"))
        stranger = make(url=server.url().partition("?")[0] + "?ssl_cert_reqs=required")
        with pytest.raises(Exception, match=r"(?i)certificate"):
            shared_state(stranger).client.ping()  # type: ignore[union-attr]
    finally:
        server.stop()
