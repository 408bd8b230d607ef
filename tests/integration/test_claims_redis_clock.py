"""The clock of Redis, by which all claims go, jumps: no execution is lost for that, and each has one final state."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.claims_batch import EXPIRY, LOST, SETTINGS, Batch
from tests.integration.claims_pack import starts
from tests.integration.workers import worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

HOUR = 3600


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis whose clock can be set."""
    server = RedisServer(tmp_path, durable=True, settable=True)
    server.start()
    try:
        server.note("durable: broker, results and claims, with a clock that jumps")
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
@pytest.mark.parametrize("jumps", [(HOUR, 0), (-HOUR, 0)], ids=["ahead and back", "back and ahead"])
def test_no_execution_is_lost_for_a_jump_of_redis_own_clock(
    begun_batch: Batch, durable_redis: RedisServer, jumps: tuple[int, int]
) -> None:
    for number, jump in enumerate(jumps):
        durable_redis.set_clock(jump)
        time.sleep(EXPIRY * 1.5)  # what is found lost would be so by now
        if number == 0:
            begun_batch.release(["linked", "member"])
            assert begun_batch.handles["linked"].result(60).succeeded
    begun_batch.release()
    begun_batch.check()  # each by its first attempt, but for what retries by itself


@pytest.mark.parametrize("pool", ["prefork"])
def test_a_worker_that_is_lost_is_found_so_as_soon_after_a_jump_ahead(
    batch: Batch, durable_redis: RedisServer, pool: str
) -> None:
    def start(name: str) -> Any:
        arguments = ("-P", pool, "-c", "2", "-n", f"{name}@here")
        return worker(batch.place, *arguments, environ=SETTINGS, log=f"{name}.log")

    with start("one") as one:
        batch.send("once", "hold")
        batch.send("again", "again")
        wait_until(lambda: all(starts(batch.file(name)) for name in ("once", "again")), "both run", 60)
        with start("two"):
            one.kill(signal.SIGKILL)
            durable_redis.set_clock(HOUR)
            wait_until(lambda: starts(batch.file("again")) == 2, "it runs again", 60)
            batch.release()
            batch.check({"once": LOST})
