"""The Redis of broker, results and claims is killed, stopped, cut off, full: each execution has one final state."""

from __future__ import annotations

import signal
import time

import pytest

from attune_tasks import enqueue
from tests.integration.claims_batch import EXPIRY, LOST, SETTINGS, SLOTS, Batch
from tests.integration.claims_pack import starts
from tests.integration.workers import worker
from tests.redis_server import RedisServer
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

POOLS = pytest.mark.parametrize("pool", ["prefork", "threads"])


@POOLS
def test_redis_is_killed_and_started_again(begun_batch: Batch, durable_redis: RedisServer) -> None:
    durable_redis.kill(signal.SIGKILL)
    begun_batch.release(["linked", "member"])  # these end while it is gone
    durable_redis.start()
    begun_batch.release()
    begun_batch.check()


def test_a_worker_with_messages_that_wait_outlives_each_end_of_redis(batch: Batch, durable_redis: RedisServer) -> None:
    file = batch.file("later")
    with worker(batch.place, "-c", "1", "-n", "one@here", environ=SETTINGS) as one:
        batch.handles["later"] = enqueue("claims.quick", {"file": str(file)}, countdown=25, app=batch.client)
        wait_until(lambda: batch.state_of("later") == "claimed", "it waits", 60)
        for number in range(6):
            durable_redis.kill(signal.SIGKILL)
            durable_redis.start()
            batch.send(f"quick-{number}", "quick")
            assert batch.handles[f"quick-{number}"].result(60).succeeded
            assert one.is_running()
        batch.check()


@POOLS
def test_redis_is_stopped_for_less_and_for_more_than_the_expiry(begun_batch: Batch, durable_redis: RedisServer) -> None:
    for seconds, names in ((EXPIRY / 2, ["linked"]), (EXPIRY * 1.5, ["member", "chained"])):
        with durable_redis.frozen():
            begun_batch.release(names)
            ends = time.monotonic() + seconds
            for name in names:
                wait_until(lambda each=name: not begun_batch.is_running(each), f"{name} ends meanwhile")  # type: ignore[misc]
            time.sleep(max(0.0, ends - time.monotonic()))  # so long it is stopped
    begun_batch.release()
    begun_batch.check()


@POOLS
def test_the_memory_of_redis_is_full_for_more_than_the_expiry(begun_batch: Batch, durable_redis: RedisServer) -> None:
    with durable_redis.client() as redis:
        redis.config_set("maxmemory", 1)
        try:
            begun_batch.release(["linked"])
            time.sleep(EXPIRY * 1.5)  # so long it is full
        finally:
            redis.config_set("maxmemory", 0)
    begun_batch.release()
    begun_batch.check()


@POOLS
def test_a_result_that_waits_for_longer_than_it_may_is_given_up(
    batch: Batch, durable_redis: RedisServer, pool: str
) -> None:
    settings = {**SETTINGS, "ATTUNE_TASKS_CLAIMS__OUTAGE": "1"}
    link = {name: batch.follower(f"once-{name}") for name in ("ok", "error")}
    with worker(batch.place, "-P", pool, "-c", "3", "-n", "one@here", environ=settings) as one:
        batch.send("once", "hold", link=link["ok"], link_error=link["error"])
        batch.send("again", "again")
        batch.send("later", "hold")
        for name in batch.handles:
            wait_until(lambda each=name: starts(batch.file(each)), f"{name} runs", 60)  # type: ignore[misc]
        durable_redis.kill(signal.SIGKILL)
        batch.release(["once", "again"])
        given_up = "is left to its claim's expiry"
        wait_until(lambda: one.log().count(given_up) == 2, "both are given up", 30)
        durable_redis.start()
        batch.release(["later"])  # its result waits for nothing: the worker goes on
        batch.check({"once": LOST}, {"once-ok": 0, "once-error": 1})
        assert starts(batch.file("again")) == 2


@POOLS
def test_one_worker_is_cut_off_for_less_and_for_more_than_the_expiry(
    batch: Batch, durable_redis: RedisServer, pool: str
) -> None:
    proxy = TcpProxy(durable_redis.port)
    url = f"redis://127.0.0.1:{proxy.port}/{batch.place.database}"
    environ = {**SETTINGS, "CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}
    arguments = ("-P", pool, "-c", str(SLOTS))
    with worker(batch.place, *arguments, "-n", "one@here", environ=environ, log="one.log"):
        batch.begin(retrying=False)
        with worker(batch.place, *arguments, "-n", "two@here", environ=SETTINGS, log="two.log"):
            batch.begin_retrying()
            batch.assert_retry_waits()
            proxy.cut()
            time.sleep(EXPIRY / 4)  # so long it is cut off
            proxy.mend()
            wait_until(lambda: starts(batch.file("retrying")) == 2, "the retry ran", 60)
            time.sleep(EXPIRY)  # what is found lost would be so by now
            assert starts(batch.file("again")) == 1
            proxy.cut()
            for name in ("again", "member"):
                wait_until(lambda each=name: starts(batch.file(each)) == 2, f"{name} runs elsewhere", 60)  # type: ignore[misc]
            lost = ("linked", "single", "chained")
            for name in lost:
                error = batch.handles[name].result(60).error
                assert error
                assert error["type"] == "worker_lost"
            proxy.mend()
            batch.release()
            batch.check(
                replaced=lost,
                followed={"linked-ok": 0, "linked-error": 1, "chained-ok": 0, "chained-error": 1},
            )
    proxy.cut()
