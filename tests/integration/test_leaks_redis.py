"""leak-check's surfaces of Celery on a Redis: honest executions are clean, and each leak made on purpose is found."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from celery import Celery

from attune_tasks._celery.leaks.controls import CONTROLS, VALUE_NAME, Control
from attune_tasks._celery.leaks.redis_places import scan
from attune_tasks._celery.leaks.surfaces import celery_surfaces
from attune_tasks.leaks import Row, Watched
from attune_tasks.leaks.canaries import make_short_canary
from tests.celery_worker import CeleryWorker
from tests.integration.leaks_watch import Watch, control_sent, honest_sent, only, write_leak_packs
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.vault import free_port

NAME = "leaks@here"
HONEST = ("honest", "honest failure")
FAILED = "error and traceback"
# Where each control of a surface is to be found, and how it stands there.
FOUND = {
    ("broker keys", "waiting parameter"): ("key unacked, hash, field", "plain"),
    ("backend keys", "secret"): ("key celery-task-meta-", "reversed"),
    ("pub/sub", "secret"): ("channel celery-task-meta-", "reversed"),
    ("commands (MONITOR)", "parameter"): ("command LPUSH celery", "plain"),
    ("events", "name"): ("event task-received, field name", "plain"),
    ("inspect", "parameter"): ("inspect active, args, text", "plain"),
    ("result", "secret"): ("of task", "reversed"),
    (FAILED, "secret"): ("ActionFailed, its text", "reversed"),
    ("live stream", "secret"): ("stream attune:{attune_tasks}:live:", "reversed"),
    ("log", "name"): ("worker.log", "plain"),
}
NAMES = tuple(dict.fromkeys(name for name, _ in FOUND))
Rows = dict[tuple[str, str], Row]


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis of its own, for MONITOR shows everything of all clients."""
    server = RedisServer(tmp_path_factory.mktemp("leaks-redis"))
    server.start()
    try:
        server.note("leak-check")
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, own_redis: RedisServer) -> Place:
    made = make_place(tmp_path_factory.mktemp("leaks"), own_redis)
    write_leak_packs(made)
    return made


@pytest.fixture(scope="module")
def leaks_worker(place: Place) -> Iterator[CeleryWorker]:
    with worker(place, "-c", "2", "-n", NAME) as running:
        yield running


@pytest.fixture(scope="module")
def app(place: Place) -> Iterator[Celery]:
    made = place.client()
    made.main = "attune_tasks"  # by whose name the shared state is told from others
    yield made
    made.close()


@pytest.fixture(scope="module")
def rows(place: Place, app: Celery, leaks_worker: CeleryWorker) -> Rows:
    """Watch honest executions and all controls, each as a runtime of its own."""
    pid = leaks_worker.process.pid
    watch = Watch(app, lambda seeker: celery_surfaces(app, seeker, NAME, own_redis=True, main_pid=pid), pid)
    watch.run(partial(honest_sent, place, app), HONEST[0])
    watch.run(partial(honest_sent, place, app, fail=True), HONEST[1])
    for control in {runtime_of(control): control for control in CONTROLS}.values():
        seconds = (
            4 if control.surface in {"inspect", "commands (MONITOR)"} else 1
        )  # each answer of inspect takes its time
        watch.run(partial(control_sent, place, app, control=control, seconds=seconds), runtime_of(control))
    return watch.end()


def runtime_of(control: Control) -> str:
    """Name a control as the rows do: some surfaces have the same."""
    return f"{control.action}, {control.how}"


@pytest.mark.parametrize("runtime", HONEST)
@pytest.mark.parametrize("name", NAMES)
def test_an_honest_execution_is_clean(rows: Rows, name: str, runtime: str) -> None:
    row = rows[name, runtime]
    if (name, runtime) == (FAILED, "honest"):
        assert (row.verdict, row.why) == ("not looked at", "no execution of this runtime has failed: run one that does")
    else:
        assert row.verdict == "clean", row


@pytest.mark.parametrize("control", [each for each in CONTROLS if each.surface != "Flower"], ids=str)
def test_each_control_is_found_at_its_place(rows: Rows, control: Control) -> None:
    row = rows[control.surface, runtime_of(control)]
    assert row.verdict == "LEAK", row
    where, variant = FOUND[control.surface, control.how]
    assert [hit for hit in row.hits if where in hit.where and hit.variant == variant], row.hits
    assert {hit.secret for hit in row.hits} == {VALUE_NAME}


def test_what_a_secret_does_not_come_near_stays_clean_while_it_leaks_elsewhere(rows: Rows) -> None:
    runtime = "leak_controls.reversed_output, secret"
    clean = {name for name in NAMES if rows[name, runtime].verdict == "clean"}
    assert clean >= {"broker keys", "inspect", "log"}


def test_monitor_is_for_a_server_of_ones_own(app: Celery) -> None:
    watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME), "commands (MONITOR)"))
    assert "--own-redis" in watch.end_of_nothing()["commands (MONITOR)"].why


def test_a_worker_that_does_not_answer_is_not_looked_at(app: Celery) -> None:
    watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, "nobody@here"), "inspect"))
    row = watch.end_of_nothing()["inspect"]
    assert row.verdict == "not looked at"
    assert "nobody@here answered no inspect command" in row.why


def test_executions_of_another_broker_have_no_events_and_no_result(app: Celery) -> None:
    watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME), "events", "result"))
    rows = watch.end_of_nothing()
    assert {row.verdict for row in rows.values()} == {"not looked at"}
    assert "worker_send_task_events" in rows["events"].why
    assert "final state" in rows["result"].why


def test_servers_that_are_away_are_not_looked_at() -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    app = Celery("away", broker=url, backend=url, set_as_current=False)
    app.conf.update(redis_retry_on_timeout=False, result_backend_always_retry=False)
    names = ("broker keys", "backend keys", "pub/sub", "commands (MONITOR)", "live stream")
    started = time.monotonic()
    watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME, own_redis=True), *names))
    rows = watch.end_of_nothing()
    assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(names, "not looked at")
    assert all(str(url) not in row.why for row in rows.values())
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("protocol", [2, 3])
def test_keys_and_channels_are_found_behind_prefixes_and_other_keys_are_not_read(
    own_redis: RedisServer, protocol: int
) -> None:
    database = own_redis.new_database()
    url = own_redis.url(database)
    app = Celery("prefixed", broker=url, backend=f"{url}?protocol={protocol}", set_as_current=False)
    app.conf.update(
        broker_transport_options={"global_keyprefix": "site_"},
        result_backend_transport_options={"global_keyprefix": "site:"},
        task_send_sent_event=True,
    )
    names = ("broker keys", "backend keys", "pub/sub")
    watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME), *names))
    value, other = make_short_canary(), make_short_canary()
    watched = [Watched(number, f"task-{number}", name) for number, name in enumerate(("ours", "of others"))]
    watch.watched += watched
    watch.seeker.add(0, {"value": value})
    watch.seeker.add(1, {"value": other})
    app.send_task("some.task", args=[value], task_id="task-0")
    app.backend.store_result("task-0", {"text": value}, "SUCCESS")
    app.control.broadcast("nobody_knows_this", arguments={"text": value})
    with own_redis.client(database) as client:
        client.set("anything", other)
        client.rpush("another:queue", other)
        client.publish("another channel", other)
    found = watch.end()
    where = {name: {hit.where.partition(",")[0] for hit in found[name, "ours"].hits} for name in names}
    assert where == {
        "broker keys": {"key site_celery"},
        "backend keys": {"key site:celery-task-meta-task-0"},
        "pub/sub": {
            "channel site:celery-task-meta-task-0",
            f"channel site_/{database}.celeryev/task.sent",
            f"channel site_/{database}.celery.pidbox",
        },
    }
    assert {found[name, "of others"].verdict for name in names} == {"clean"}
    app.close()


def test_shared_state_is_looked_at_where_the_result_backend_has_no_keys(own_redis: RedisServer) -> None:
    database = own_redis.new_database()
    app = Celery("beside", broker="memory://", backend="rpc://", set_as_current=False)
    app.conf.attune_tasks = {"state_url": own_redis.url(database)}
    watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME), "backend keys"))
    value = make_short_canary()
    watch.watched.append(Watched(7, "task-7", "python"))
    watch.seeker.add(7, {"value": value})
    with own_redis.client(database) as client:
        client.hset("attune:{beside}:claim:7", "message", value)
    row = watch.end()["backend keys", "python"]
    assert [hit.where for hit in row.hits] == ["key attune:{beside}:claim:7, hash, field message"]
    assert "RPCBackend has no keys" in row.why
    app.close()


def test_a_user_who_may_not_monitor_is_told_so(own_redis: RedisServer) -> None:
    password = make_short_canary()
    with own_redis.client() as client:
        client.execute_command("ACL", "SETUSER", "limited", "on", f">{password}", "~*", "&*", "+@all", "-monitor")
    url = f"redis://limited:{password}@127.0.0.1:{own_redis.port}/{own_redis.new_database()}"
    app = Celery("limited", broker=url, backend=url, set_as_current=False)
    name = "commands (MONITOR)"
    watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME, own_redis=True), name))
    row = watch.end_of_nothing()[name]
    assert row.verdict == "not looked at"
    assert "NoPermissionError" in row.why
    assert password not in repr(row)
    app.close()


def test_a_server_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    app = Celery("hangs", broker=server.url(), backend=server.url(), set_as_current=False)
    names = [name for name in NAMES if name not in {"events", "log"}]
    try:
        watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME, own_redis=True), *names))
        with server.frozen():
            started = time.monotonic()
            rows = watch.end_of_nothing()
            took = time.monotonic() - started
        assert took < 20
        assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(names, "not looked at")
    finally:
        server.stop()
    app.close()


def test_a_server_that_hangs_from_the_beginning_is_not_waited_for(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    app = Celery("hangs", broker=server.url(), backend=server.url(), set_as_current=False)
    names = ("broker keys", "events")
    try:
        with server.frozen():
            started = time.monotonic()
            watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME, own_redis=True), *names))
            rows = watch.end_of_nothing()
            assert time.monotonic() - started < 30
        assert {name: row.verdict for name, row in rows.items()} == dict.fromkeys(names, "not looked at")
    finally:
        server.stop()
    app.close()


def test_what_is_too_much_to_be_looked_at_is_said(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    database = own_redis.new_database()
    app = Celery("full", broker=own_redis.url(database), backend=own_redis.url(database), set_as_current=False)
    with own_redis.client(database) as client:
        client.rpush("celery", *[f"message {number}" for number in range(3000)])
        client.mset({f"attune:{{full}}:note:{number}": number for number in range(8000)})
    names = ("broker keys", "backend keys")
    watch = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME), *names))
    rows = watch.end_of_nothing()
    assert "key celery, list: there is more than is looked at" in rows["broker keys"].why
    too_many, too_slow = "keys attune:{full}:*: there is more than is looked at", "s for one look were used up"
    assert too_many in rows["backend keys"].why or too_slow in rows["backend keys"].why  # by the machine's speed
    monkeypatch.setattr("attune_tasks._celery.leaks.keys._END_BOUND", 0.0001)
    rows = Watch(app, lambda seeker: only(celery_surfaces(app, seeker, NAME), *names)).end_of_nothing()
    for name, extent in (
        ("broker keys", "3000 messages, and what belongs to them"),
        ("backend keys", r"a database of 80\d\d keys"),
    ):
        said = rf"1 entries \(0 KiB\) were looked at, of {extent}, then the 0.0001 s for one look were used up"
        assert re.search(said, rows[name].why), rows[name]
    app.close()


def test_a_scan_ends_in_time_however_many_keys_others_have(own_redis: RedisServer) -> None:
    with own_redis.client(own_redis.new_database()) as client:
        client.mset({f"other:{number}": "" for number in range(20_000)})
        client.mset({f"attune:{number}": "" for number in range(50)})
        found = list(scan(client, "attune:*", 2000, 0.0))
        assert found[-1] is None
        assert len(found) < 50
        assert len(set(scan(client, "attune:*", 2000, 10.0))) == 50
        assert list(scan(client, "attune:*", 10, 10.0))[-1] is None
