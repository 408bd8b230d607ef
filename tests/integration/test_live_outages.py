"""Live output while the Redis that it is written to is away: it costs the execution nothing but that output."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from attune_tasks import enqueue
from attune_tasks._celery.live_events import EndEvent
from tests.integration.live_place import LivePlace, make_live_place
from tests.integration.test_live import Following
from tests.integration.workers import worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SECONDS = 30
BOUND = 2.0
"""Seconds that an outage may cost an execution, on a busy machine; half of one is what is given up after."""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis for shared state alone, which a test may do anything to."""
    (tmp_path / "state").mkdir()
    server = RedisServer(tmp_path / "state")
    server.start()
    try:
        server.note("shared state of live output, stopped and restarted")
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["prefork", "threads"])
def live(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer, state: RedisServer
) -> Iterator[LivePlace]:
    """Give a place whose shared state is another Redis than broker and results.

    Without claims, which a worker with a result waits for: what live output costs is to be seen alone.
    """
    (tmp_path / "live").mkdir()
    place = make_live_place(tmp_path / "live", redis_server, state)
    place.settings["claims"] = {"enabled": False}
    place.environ["ATTUNE_TASKS_CLAIMS__ENABLED"] = "false"
    with worker(place.place, "-P", request.param, "-c", "2", environ=place.environ):
        yield place


def log(live: LivePlace) -> str:
    return (live.place.folder / "worker.log").read_text(encoding="utf-8")


def test_a_redis_that_is_paused_holds_up_no_execution(live: LivePlace, state: RedisServer) -> None:
    handle = enqueue("work.loud", {"seconds": 3, "times": 500}, app=live.app())
    wait_until(lambda: live.entries(handle.execution_id), "the first batch")
    with state.frozen():
        begun = time.monotonic()
        result = handle.result(SECONDS)
        assert time.monotonic() - begun < 3 + BOUND
    assert result.status == "succeeded"
    assert result.duration_ms < (3 + BOUND) * 1000
    assert f"execution {handle.execution_id}: " in log(live)
    assert log(live).count("bytes of what it said live were dropped") == 1


def test_a_redis_that_is_restarted_in_mid_run_goes_on_with_what_came_later(
    live: LivePlace, state: RedisServer, tmp_path: Path
) -> None:
    folder = tmp_path / "steps"
    folder.mkdir()
    handle = enqueue("work.steps", {"folder": str(folder), "steps": 3}, app=live.app())
    following = Following(handle)
    following.wait_for("step 0")
    state.kill(signal.SIGKILL)
    (folder / "0").touch()  # what follows can't be written
    wait_until((folder / "at 1").exists, "it goes on without")
    state.start()
    (folder / "1").touch()
    following.wait_for("step 2")
    (folder / "2").touch()
    assert following.end() == "succeeded"
    assert handle.result(SECONDS).stdout == "step 0 ***\nstep 1 ***\nstep 2 ***\n"


def test_a_paused_redis_that_holds_the_results_too_never_has_progress_over_the_end(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "live").mkdir()
    server = RedisServer(tmp_path / "all")
    server.start()
    try:
        live = make_live_place(tmp_path / "live", server)
        with worker(live.place, "-P", "threads", "-c", "2", environ=live.environ):
            app = live.app()
            for _ in range(3):
                handle = enqueue("work.loud", {"seconds": 1.2}, app=app)
                wait_until(partial(live.entries, handle.execution_id), "the first batch")
                with server.frozen():
                    time.sleep(2)  # the end falls into this: what was sent meanwhile waits in front of the server
                result = handle.result(SECONDS)
                assert (result.status, result.duration_ms < 1200 + BOUND * 1000) == ("succeeded", True)
                assert list(handle.follow())[-1] == EndEvent("succeeded")
                time.sleep(0.3)  # whatever came late has come
                assert app.AsyncResult(handle.task_id).state == "SUCCESS"
    finally:
        server.stop()


def test_a_redis_whose_memory_is_full_takes_no_output_and_harms_nothing(live: LivePlace, state: RedisServer) -> None:
    with state.client() as client:
        handle = enqueue("work.loud", {"seconds": 1}, app=live.app())
        client.config_set("maxmemory", 1)
        result = handle.result(SECONDS)
        client.config_set("maxmemory", 0)
    assert result.status == "succeeded"
    assert "shared state could not be reached: OutOfMemoryError" in log(live)


def test_a_stream_keeps_its_end_within_its_bounds(live: LivePlace) -> None:
    environ = live.environ | {"ATTUNE_TASKS_LIVE__KEEP_BYTES": "100000", "ATTUNE_TASKS_LIVE__KEEP_SECONDS": "70"}
    place = live.place
    with worker(place, "-P", "solo", "-n", f"other{os.getpid()}", "-Q", "other", environ=environ):
        handle = enqueue("work.loud", {"seconds": 3, "times": 500}, queue="other", app=live.app())
        assert handle.result(SECONDS).status == "succeeded"
    entries = live.entries(handle.execution_id)
    assert 50_000 < sum(len(fields[b"events"]) for _, fields in entries) <= 100_000 + 8192
    with live.client() as client:
        assert 0 < client.ttl(live.key(handle.execution_id)) <= 70
    assert json.loads(entries[-1][1][b"events"])[-1] == {"type": "attempt_end", "status": "succeeded"}
    assert list(handle.follow())[-1] == EndEvent("succeeded")
