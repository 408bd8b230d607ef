"""The Redis of claims, broker and results is restarted, stopped, cut off, full: each execution has one final state."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery

from tests.integration.claims_batch import SLOTS, Batch
from tests.integration.claims_pack import write_claims_pack
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer

pytestmark = pytest.mark.timeout(240)

EXPIRY = 4.0
ENVIRON = {"ATTUNE_TASKS_CLAIMS__EXPIRY": str(EXPIRY), "ATTUNE_TASKS_GRACE": "0.5"}
POOLS = pytest.mark.parametrize("pool", ["prefork", "threads"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("durable-redis")


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[RedisServer]:
    made = RedisServer(data, durable=True)
    made.start()
    try:
        made.note("durable, of claims")
        yield made
    finally:
        made.stop()


@pytest.fixture
def place(tmp_path: Path, server: RedisServer) -> Place:
    made = make_place(tmp_path, server)
    write_claims_pack(made)
    return made


@pytest.fixture
def client(place: Place) -> Celery:
    app = place.client()
    app.main = "attune_tasks"
    return app


@pytest.fixture
def started(place: Place, client: Celery, data: Path, pool: str) -> Iterator[Batch]:
    """Give a batch of which each is where it is to be, on two workers."""
    with ExitStack() as stack:

        def start(name: str, slots: int) -> None:
            arguments = ("-P", pool, "-c", str(slots), "-n", f"{name}@here")
            stack.enter_context(worker(place, *arguments, environ=ENVIRON, log=f"{name}.log"))

        start("one", SLOTS)
        batch = Batch(place, client, data)
        batch.begin()
        start("two", 1)
        batch.queue()
        yield batch


@POOLS
def test_redis_is_killed_and_started_again(started: Batch, server: RedisServer) -> None:
    server.kill(signal.SIGKILL)
    started.release(["linked", "member"])  # these end while it is gone
    server.start()
    started.release()
    started.check()


@POOLS
def test_redis_is_stopped_for_less_and_for_more_than_the_expiry(started: Batch, server: RedisServer) -> None:
    for seconds in (EXPIRY / 2, EXPIRY * 1.5):
        with server.frozen():
            time.sleep(seconds)  # so long it is stopped
    started.release()
    started.check()
