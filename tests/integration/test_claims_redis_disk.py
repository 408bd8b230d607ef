"""The disk of Redis' append-only file is full: it refuses all writes, or ends; each execution has one final state."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.integration.claims_batch import EXPIRY, Batch
from tests.integration.small_disk import clear, fill, small_disk
from tests.redis_server import RedisServer
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is small"),
]


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis whose data are on a disk of a few MiB."""
    with small_disk(tmp_path, "4m", 512) as disk:
        server = RedisServer(disk, durable=True)
        server.start()
        try:
            server.note("durable: broker, results and claims, on a disk that is full for a while")
            yield server
        finally:
            server.stop()


def refuses(server: RedisServer) -> bool:
    """Say whether it takes no write; one that ends is no more."""
    try:
        with server.client() as client:
            client.set("filler", "x" * 10_000)
    except redis.exceptions.RedisError:
        return True
    return False


@pytest.mark.parametrize(("pool", "fsync"), [("prefork", "everysec"), ("threads", "always")])
def test_the_disk_of_redis_is_full_for_more_than_the_expiry(
    begun_batch: Batch, durable_redis: RedisServer, fsync: str
) -> None:
    with durable_redis.client() as client:
        client.config_set("appendfsync", fsync)
    fill(durable_redis.folder)
    wait_until(lambda: refuses(durable_redis), "it takes no write")
    begun_batch.release(["linked", "member", "chained"])
    time.sleep(EXPIRY * 1.5)  # so long it is full
    clear(durable_redis.folder)
    if fsync == "always":  # of which Redis can promise nothing any more, and ends
        wait_until(lambda: not durable_redis.is_running(), "it has ended")
        durable_redis.start()
    begun_batch.release()
    begun_batch.check()
