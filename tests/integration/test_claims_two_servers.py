"""Results on one Redis, claims and messages on another: either is killed in mid-run, and each execution has one end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.claims_batch import EXPIRY, SETTINGS, SLOTS, Batch
from tests.integration.workers import Place, worker
from tests.redis_server import RedisServer

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def results(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis for results alone."""
    folder = tmp_path / "results"
    folder.mkdir()
    server = RedisServer(folder, durable=True)
    server.start()
    try:
        server.note("durable: results alone")
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["prefork", "threads"])
def batches(
    request: pytest.FixtureRequest, claims_place: Place, durable_redis: RedisServer, results: RedisServer
) -> Iterator[list[Batch]]:
    """Give two batches, of which nothing is sent yet, on one worker."""
    state_url = durable_redis.url(claims_place.database)
    app = claims_place.client()
    app.main = "attune_tasks"
    app.conf.update(
        result_backend=results.url(), attune_tasks={"packs": [str(claims_place.packs)], "state_url": state_url}
    )
    environ = {**SETTINGS, "CELERY_RESULT_BACKEND": results.url(), "ATTUNE_TASKS_STATE_URL": state_url}
    with worker(claims_place, "-P", request.param, "-c", str(SLOTS), environ=environ):
        yield [Batch(claims_place, app, name, results=results) for name in ("first", "second")]


def test_results_and_claims_on_two_servers_of_which_each_is_killed(
    batches: list[Batch], durable_redis: RedisServer, results: RedisServer
) -> None:
    first, second = batches
    first.begin(retrying=False)
    results.kill(signal.SIGKILL)
    first.release(["linked", "member"])  # these end while it is gone
    time.sleep(EXPIRY * 1.5)  # so long it is: who has to store a result gives up, and a reaper has it to do
    results.start()
    first.release()
    first.check()
    second.begin(retrying=False)
    for server in (durable_redis, results):
        server.kill(signal.SIGKILL)
        second.release(["linked" if server is results else "member"])
        server.start()
    second.release()
    second.check()
