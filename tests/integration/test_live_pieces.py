"""The pieces of live output on a real Redis: the state PROGRESS, the stream's bounds, a client that gives up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, states

from attune_tasks import Handle, enqueue
from attune_tasks._celery.live_client import impatient
from attune_tasks._celery.live_events import OutputEvent, ProgressEvent
from attune_tasks._celery.live_output import LiveOutput
from attune_tasks._celery.live_stream import LiveStream, stream_key
from attune_tasks._celery.live_writer import LiveWriter, live_writer
from attune_tasks._celery.progress_state import ProgressState
from attune_tasks._celery.shared_state import SharedState, shared_state
from attune_tasks.ids import new_execution_id, task_id_of
from attune_tasks.process import Batch, Piece, Progress
from attune_tasks.settings.model import LiveSettings
from attune_tasks.testing import captured, fake_result
from tests.integration.packs import write_packs
from tests.redis_server import RedisServer
from tests.waiting import wait_until


@pytest.fixture
def app(tmp_path: Path, redis_server: RedisServer) -> Iterator[Celery]:
    """Give an app on a database of its own."""
    write_packs(tmp_path)
    url = redis_server.url(redis_server.new_database())
    made = Celery("pieces", broker=url, backend=url, set_as_current=False)
    made.conf.attune_tasks = {"packs": [str(tmp_path / "packs")]}
    yield made
    made.close()


@pytest.fixture
def state(app: Celery) -> SharedState:
    found = shared_state(app)
    assert found
    return found


class Request:
    """What is asked of a task's request."""

    children: tuple[object, ...] = ()

    def __init__(self, task_id: str) -> None:
        """Be that of a task."""
        self.id = task_id


def put(app: Celery, task_id: str, percent: float) -> None:
    backend: Any = app.backend
    with backend.client.pipeline() as pipeline:
        ProgressState(backend, Request(task_id)).put(pipeline, ProgressEvent(percent, "m"))
        pipeline.execute()


@pytest.mark.parametrize("final", [states.SUCCESS, states.FAILURE, states.REVOKED, states.RETRY])
def test_progress_that_comes_late_is_never_stored_over_another_state(app: Celery, final: str) -> None:
    task_id = task_id_of(new_execution_id())
    result: Any = ValueError("x") if final in states.EXCEPTION_STATES else {"a": 1}
    app.backend.store_result(task_id, None, states.STARTED)
    put(app, task_id, 50.0)
    stored = app.AsyncResult(task_id)
    assert (stored.state, stored.info) == ("PROGRESS", {"percent": 50.0, "message": "m"})
    put(app, task_id, 60.0)
    assert stored.info["percent"] == 60.0
    app.backend.store_result(task_id, result, final)
    put(app, task_id, 70.0)
    assert app.AsyncResult(task_id).state == final


def test_progress_of_what_is_not_stored_stores_nothing(app: Celery) -> None:
    task_id = task_id_of(new_execution_id())
    put(app, task_id, 50.0)
    assert app.AsyncResult(task_id).state == states.PENDING
    backend: Any = app.backend
    backend.client.set(backend.get_key_for_task(task_id), "not JSON")
    put(app, task_id, 50.0)
    assert backend.client.get(backend.get_key_for_task(task_id)) == b"not JSON"


def test_progress_expires_with_the_results(app: Celery) -> None:
    task_id = task_id_of(new_execution_id())
    app.conf.result_expires = 100
    app.backend.store_result(task_id, None, states.STARTED)
    put(app, task_id, 50.0)
    backend: Any = app.backend
    assert 0 < backend.client.ttl(backend.get_key_for_task(task_id)) <= 100
    backend.expires = None
    put(app, task_id, 60.0)
    assert backend.client.ttl(backend.get_key_for_task(task_id)) == -1


def test_a_stream_keeps_as_many_entries_and_bytes_as_it_should(app: Celery, state: SharedState) -> None:
    client: Any = state.client
    for settings, size, longest in (
        (LiveSettings(keep_entries=7), 5000, 7),
        (LiveSettings(keep_bytes=50_000), 5000, 9),
        (LiveSettings(keep_bytes=10), 5000, 1),
    ):
        execution_id = new_execution_id()
        for _ in range(2):  # an earlier attempt wrote to it, too
            stream = LiveStream(app, state, execution_id, settings)
            for _ in range(30):
                with client.pipeline(transaction=False) as pipeline:
                    stream.put(pipeline, [OutputEvent("stdout", "x" * size)])
                    pipeline.execute()
            kept = client.xlen(stream_key(state, execution_id))
            assert kept <= longest + 1, settings


def output_of(app: Celery, state: SharedState, execution_id: int) -> LiveOutput:
    stream = LiveStream(app, state, execution_id, LiveSettings())
    return LiveOutput(execution_id, live_writer(app), stream, state.client, None)


def entries(state: SharedState, execution_id: int) -> list[list[dict[str, Any]]]:
    found: Any = state.client.xrange(stream_key(state, execution_id))
    return [json.loads(fields[b"events"]) for _, fields in found]


def test_a_short_execution_writes_once_at_its_end_and_a_silent_one_never(
    app: Celery, state: SharedState, redis_server: RedisServer
) -> None:
    first, second = new_execution_id(), new_execution_id()
    short = output_of(app, state, first)
    short.finish(Batch((Piece("stdout", "x\n"),), Progress(5.0, "")))
    short.close("succeeded")
    assert [[event["type"] for event in entry] for entry in entries(state, first)] == [
        ["output", "progress", "attempt_end"]
    ]
    with redis_server.client() as client:
        silent = output_of(app, state, second)
        before: Any = client.info("stats")
        silent.finish(Batch())
        silent.close("succeeded")
        after: Any = client.info("stats")
    assert after["total_commands_processed"] - before["total_commands_processed"] == 1  # this look itself
    assert entries(state, second) == []


def test_the_end_takes_what_waits_along_and_nothing_is_written_after_it(
    app: Celery, state: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution_id = new_execution_id()
    late: list[Any] = []
    monkeypatch.setattr(LiveWriter, "soon", lambda _, write: late.append(write))  # a thread that is busy elsewhere
    live = output_of(app, state, execution_id)
    live.send(Batch((Piece("stdout", "one\n"),)))
    assert not live.ready()
    live.finish(Batch((Piece("stdout", "two\n"),)))
    live.close("succeeded")
    for write in late:
        write()
    (entry,) = entries(state, execution_id)
    assert [event.get("text", event.get("status")) for event in entry] == ["one\n", "two\n", "succeeded"]


def test_what_was_lost_is_said_once_in_the_stream_and_once_in_the_log(
    app: Celery, state: SharedState, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    execution_id = new_execution_id()
    live = output_of(app, state, execution_id)
    stream: Any = live._stream
    put = stream.put

    def broken(*_: Any) -> None:
        msg = "redis://user:pa55word@host"
        raise redis.exceptions.ConnectionError(msg)

    monkeypatch.setattr(stream, "put", broken)
    live.send(Batch((Piece("stdout", "12345\n"),)))
    wait_until(lambda: not live._busy, "it was tried")
    assert not live.ready()
    wait_until(live.ready, "it may be tried again")
    monkeypatch.setattr(stream, "put", put)
    for text in ("six\n", "seven\n"):
        wait_until(live.ready, "it is written")
        live.send(Batch((Piece("stdout", text),)))
    wait_until(live.ready, "it is written")
    live.close("succeeded")
    said = [event for entry in entries(state, execution_id) for event in entry]
    assert [event["dropped"] for event in said if event["type"] == "output"] == [6, 0, 0]
    (record,) = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
    assert "6 bytes" in record
    assert "ConnectionError" in record
    assert "pa55word" not in caplog.text


def test_an_impatient_client_gives_up_where_the_other_waits(redis_server: RedisServer, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        client: Any = impatient(server.client())
        assert client.ping()
        with server.frozen():
            begun = time.monotonic()
            with pytest.raises(redis.exceptions.TimeoutError):
                client.ping()
            assert 0.4 < time.monotonic() - begun < 2
    finally:
        server.stop()


def test_an_impatient_client_of_a_sentinel_asks_the_same_sentinel() -> None:
    made_by: Any = redis.sentinel.Sentinel
    sentinel = made_by([("127.0.0.1", 1)], socket_timeout=3)
    client: Any = sentinel.master_for("main", password="x", db=3)
    made = impatient(client)
    assert made.connection_pool.service_name == "main"
    assert made.connection_pool.sentinel_manager is client.connection_pool.sentinel_manager
    assert made.connection_pool.connection_kwargs["db"] == 3
    assert made.connection_pool.connection_kwargs["socket_timeout"] == 0.5
    with pytest.raises(redis.exceptions.ConnectionError):
        made.ping()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode", [False, True])
def test_a_stream_is_read_whichever_protocol_the_client_speaks(
    app: Celery, state: SharedState, protocol: int, *, decode: bool
) -> None:
    handle = Handle.from_task_id(task_id_of(new_execution_id()), app)
    for number in range(120):  # more than are read at once
        live = output_of(app, state, handle.execution_id)
        live.finish(Batch((Piece("stdout", f"{number}\n"),)))
        live.close("failed")
    options = {**state.client.connection_pool.connection_kwargs, "protocol": protocol, "decode_responses": decode}
    address = {name: options[name] for name in ("host", "port", "db", "protocol", "decode_responses")}
    backend: Any = app.backend
    backend.__dict__["client"] = redis.Redis(**address)
    try:
        lines = [event.to_dict()["text"] for event in handle.follow(wait=False)]
    finally:
        backend.client.close()
    assert lines == [f"{number}\n" for number in range(120)]


def test_a_captured_call_is_followed_to_its_made_up_end_without_a_server(app: Celery) -> None:
    with captured(), fake_result("work.add", 3):
        assert [event.to_dict() for event in enqueue("work.add", {"a": 1}, app=app).follow()] == [
            {"type": "end", "status": "succeeded"}
        ]
    with captured():
        assert list(enqueue("work.add", {"a": 1}, app=app).follow()) == []


def test_an_eager_execution_writes_nothing_and_is_followed_to_its_end(app: Celery, state: SharedState) -> None:
    app.conf.task_always_eager = True
    handle = enqueue("work.wait", {"until": "/"}, app=app)
    assert [event.type for event in handle.follow()] == ["end"]
    assert handle.result().stdout == "started\n"
    assert entries(state, handle.execution_id) == []


def test_live_output_that_is_off_leaves_the_end_alone(app: Celery, state: SharedState) -> None:
    unknown = Handle.from_task_id(task_id_of(new_execution_id()), app)
    assert list(unknown.follow(wait=False)) == []
