"""Output and progress of executions while they run, followed through a real Redis and real workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attune_tasks import Handle, enqueue
from attune_tasks._celery.executions_seen import seen_executions
from attune_tasks._celery.live_events import EndEvent, OutputEvent, ProgressEvent
from tests.integration.live_place import CANARIES, LivePlace, make_live_place
from tests.integration.workers import worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SECONDS = 30


@pytest.fixture(scope="module", params=["prefork", "threads"])
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[LivePlace]:
    """Give a place with a worker of each pool; broker, results and shared state are one Redis."""
    place = make_live_place(tmp_path_factory.mktemp(f"live-{request.param}"), redis_server)
    with worker(place.place, "-P", request.param, "-c", "3", environ=place.environ):
        yield place


class Following:
    """A follower in a thread of its own."""

    def __init__(self, handle: Handle) -> None:
        """Follow from now on."""
        self.events: list[Any] = []
        self._handle = handle
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for event in self._handle.follow():
            self.events.append(event)

    def wait_for(self, text: str) -> None:
        """Wait until a line with `text` came."""
        wait_until(lambda: text in self.text(), text)

    def text(self, stream: str = "stdout") -> str:
        """Give the output so far."""
        return "".join(event.text for event in self.events if event.type == "output" and event.stream == stream)

    def progress(self) -> list[ProgressEvent]:
        """Give the progress so far."""
        return [event for event in self.events if event.type == "progress"]

    def end(self) -> str:
        """Wait for the end, and give the status."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        assert isinstance(self.events[-1], EndEvent)
        assert not any(isinstance(event, EndEvent) for event in self.events[:-1])
        return str(self.events[-1].status)


def test_output_and_progress_are_seen_while_it_runs_and_late_followers_get_the_beginning(
    live: LivePlace, tmp_path: Path
) -> None:
    app = live.app()
    handle = enqueue("work.steps", {"folder": str(tmp_path)}, app=app)
    early = Following(handle)
    early.wait_for("step 0 ***\n")
    wait_until(early.progress, "progress")
    assert early.progress() == [ProgressEvent(0.0, "at 0 with ***")]
    assert handle.status() == "running"
    stored: Any = app.AsyncResult(handle.task_id)
    wait_until(lambda: stored.state == "PROGRESS", "Celery's state")
    assert stored.info == {"percent": 0.0, "message": "at 0 with ***"}
    (tmp_path / "0").touch()
    early.wait_for("step 1")
    late = Following(Handle.from_task_id(handle.task_id, live.app()))
    late.wait_for("step 1")
    here = Handle.from_task_id(handle.task_id, app).follow(wait=False)
    assert next(here) == OutputEvent("stdout", "step 0 ***\n")
    assert not any(isinstance(event, EndEvent) for event in here)
    for number in (1, 2):
        (tmp_path / str(number)).touch()
    for following in (early, late):
        assert following.end() == "succeeded"
        assert following.text() == "step 0 ***\nstep 1 ***\nstep 2 ***\n"
    after = list(handle.follow())
    assert after == late.events
    assert handle.result(SECONDS).result == "done"
    assert stored.state == "SUCCESS"


@pytest.mark.parametrize(
    ("action", "percent", "message"),
    [("steps", 0.0, "at 0 with ***"), ("walk", 40.0, "at two of five with ***")],
    ids=["python", "shell"],
)
def test_progress_is_celerys_state_and_among_what_runs(
    live: LivePlace, tmp_path: Path, action: str, percent: float, message: str
) -> None:
    app = live.app()
    handle = enqueue(f"work.{action}", {"folder": str(tmp_path), "steps": 1}, app=app)
    stored: Any = app.AsyncResult(handle.task_id)
    wait_until(lambda: stored.state == "PROGRESS", "Celery's state")
    assert stored.info == {"percent": percent, "message": message}
    (seen,) = [each for each in seen_executions(app) if each.execution_id == handle.execution_id]
    assert (seen.state, seen.percent, seen.message) == ("running", percent, message)
    for name in ("0", "go"):
        (tmp_path / name).touch()
    assert handle.result(SECONDS).succeeded
    assert stored.state == "SUCCESS"
    assert handle.execution_id not in [each.execution_id for each in seen_executions(app)]


def test_no_secret_is_in_the_stream_however_it_is_written(live: LivePlace) -> None:
    for pause in (0.02, 0.0):
        handle = enqueue("work.drip", {"pause": pause}, app=live.app())
        following = Following(handle)
        assert following.end() == "succeeded"
        # The last line is a secret but for its end: no secret, and shown once nothing more can come.
        assert following.text() == "***|" + CANARIES[0][:-1]
        assert following.text("stderr") == "***|"
        stored = b"".join(fields[b"events"] for _, fields in live.entries(handle.execution_id))
        for canary in CANARIES:
            assert canary.encode() not in stored


def test_a_loud_execution_writes_at_most_ten_times_a_second(live: LivePlace) -> None:
    before = live.calls("xadd")
    handle = enqueue("work.loud", {"seconds": 3, "times": 500}, app=live.app())
    following = Following(handle)
    assert following.end() == "succeeded"
    times = [int(entry_id.partition(b"-")[0]) for entry_id, _ in live.entries(handle.execution_id)]
    assert 10 <= len(times) <= 31
    assert live.calls("xadd") - before == len(times)
    for begin in times:
        assert len([time for time in times if begin <= time < begin + 1000]) <= 10
    assert all(len(fields[b"events"]) < 80_000 for _, fields in live.entries(handle.execution_id))
    assert sum(event.dropped for event in following.events if event.type == "output") > 100_000
    assert CANARIES[0] not in following.text()


def test_the_stream_expires_and_an_execution_that_says_nothing_has_none(live: LivePlace) -> None:
    handle = enqueue("work.short", app=live.app())
    assert [event.type for event in handle.follow()] == ["output", "progress", "end"]
    with live.client() as client:
        assert 0 < client.ttl(live.key(handle.execution_id)) <= 86_400
        assert client.xlen(live.key(handle.execution_id)) == 1
    quiet = enqueue("work.quiet", {"seconds": 0.3}, app=live.app())
    begun = time.monotonic()
    assert list(quiet.follow()) == [EndEvent("succeeded")]
    assert time.monotonic() - begun < SECONDS / 3
    with live.client() as client:
        assert not client.exists(live.key(quiet.execution_id))


def test_a_follower_that_reads_no_further_costs_the_execution_nothing(live: LivePlace) -> None:
    handle = enqueue("work.loud", {"seconds": 1.5, "times": 500}, app=live.app())
    events = handle.follow()
    next(events)  # and not one more: it holds what it has read, and the worker knows nothing of it
    assert handle.result(SECONDS).status == "succeeded"
    duration = handle.result(SECONDS).duration_ms
    assert 1500 <= duration < 3000, duration
    assert list(events)[-1] == EndEvent("succeeded")


def test_a_cancelled_and_a_failed_execution_end_for_their_followers(live: LivePlace, tmp_path: Path) -> None:
    handle = enqueue("work.steps", {"folder": str(tmp_path)}, app=live.app())
    following = Following(handle)
    following.wait_for("step 0")
    handle.cancel()
    assert following.end() == "cancelled"
    refused = enqueue("work.add", {"a": "x"}, app=live.app())
    assert Following(refused).end() == "error"
