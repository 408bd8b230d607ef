"""What a broker does to messages, and Celery's own ways to hold one back: each execution runs as often as it is to."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from celery import states

from attune_tasks import enqueue
from tests.append_only import states_written
from tests.celery_worker import CeleryWorker
from tests.integration.claims_batch import EXPIRY, SETTINGS, SLOTS, Batch
from tests.integration.claims_pack import starts
from tests.integration.workers import worker
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

POOLS = pytest.mark.parametrize("pool", ["prefork", "threads"])
QUEUE = "celery"
LONG = {"ATTUNE_TASKS_CLAIMS__EXPIRY": "60"}
"""So long that nothing which a test waits for comes of it."""
SOON = 15.0

Start = Callable[..., AbstractContextManager[CeleryWorker]]


@pytest.fixture
def start(batch: Batch, pool: str) -> Start:
    """Give a way to start a worker with a name, on the batch's place."""

    def start_worker(
        name: str, slots: int = SLOTS, environ: dict[str, str] | None = None
    ) -> AbstractContextManager[CeleryWorker]:
        arguments = ("-P", pool, "-c", str(slots), "-n", f"{name}@here")
        return worker(batch.place, *arguments, environ=environ or SETTINGS, log=f"{name}.log")

    return start_worker


@pytest.fixture
def messages(batch: Batch) -> Iterator[Any]:
    """Give the broker's client."""
    assert batch.place.redis
    with batch.place.redis.client(batch.place.database) as redis:
        yield redis


@POOLS
def test_messages_that_are_delivered_twice_change_nothing(batch: Batch, messages: Any, start: Start) -> None:
    actions = {"running": "hold", "ticketed": "single", "parked": "single", "retrying": "retrying", "final": "quick"}
    raw = {}
    for name, action in actions.items():
        batch.send(name, action)
        raw[name] = messages.lindex(QUEUE, 0)
    with start("one"):
        assert batch.handles["final"].result(SOON * 4).succeeded
        wait_until(lambda: batch.state_of("parked") == "parked" or batch.state_of("ticketed") == "parked", "parked", 60)
        wait_until(lambda: starts(batch.file("running")) and starts(batch.file("retrying")), "both run", 60)
        for _ in range(2):
            messages.lpush(QUEUE, *raw.values())
            wait_until(lambda: not messages.llen(QUEUE), "they are taken", 60)
        with start("two"):
            messages.lpush(QUEUE, *raw.values())
            wait_until(lambda: not messages.llen(QUEUE), "they are taken", 60)
            batch.release()
            batch.check()
            messages.lpush(QUEUE, *raw.values())
            wait_until(lambda: not messages.llen(QUEUE) and not messages.exists("unacked"), "they are dropped", 60)
            batch.check()


@POOLS
def test_a_countdown_beyond_the_visibility_timeout_runs_once(
    batch: Batch, tmp_path: Path, start: Start, pool: str
) -> None:
    config = tmp_path / "attune-tasks.toml"
    config.touch(mode=0o600)
    config.write_text("[celery.broker_transport_options]\nvisibility_timeout = 1\n", encoding="utf-8")
    environ = {**SETTINGS, "ATTUNE_TASKS_CONFIG": str(config)}
    with start("one", environ=environ) as one:
        file = batch.file("later")
        batch.handles["later"] = enqueue("claims.quick", {"file": str(file)}, countdown=12, app=batch.client)
        wait_until(lambda: batch.state_of("later") == "claimed", "it is claimed", 60)
        time.sleep(1.5)  # the visibility timeout
        # A worker that starts looks for such messages at once, and others now and then.
        with start("two", environ=environ) as two:
            wait_until(lambda: "its claim is held" in one.log() + two.log(), "it is delivered again", 60)
            assert not starts(file)
            batch.check()


@POOLS
def test_what_expires_is_revoked_once_also_where_it_is_parked(batch: Batch, start: Start) -> None:
    parameters = {name: {"file": str(batch.file(name))} for name in ("waits", "parked")}
    batch.handles["waits"] = enqueue("claims.quick", parameters["waits"], expires=0.5, app=batch.client)
    batch.send("single", "single")
    time.sleep(0.6)  # its time
    with start("one"):
        wait_until(lambda: starts(batch.file("single")), "it runs", 60)
        batch.handles["parked"] = enqueue("claims.single", parameters["parked"], expires=2, app=batch.client)
        wait_until(lambda: batch.state_of("parked") == "parked", "it is parked", 60)
        for name in parameters:
            result = batch.handles[name].result(60)  # the one with the ticket still runs
            assert (result.status, result.error and result.error["type"]) == ("cancelled", "expired")
            assert not starts(batch.file(name))
        batch.release()
        assert batch.handles["single"].result(60).succeeded
        wait_until(lambda: not batch.unsettled(), "all is told", 60)
        for name in parameters:
            assert batch.place.redis
            written = states_written(batch.place.redis.folder, batch.handles[name].task_id)
            assert written == [states.REVOKED], name


@POOLS
def test_a_warm_shutdown_gives_back_what_waits_and_another_worker_has_it_soon(
    batch: Batch, start: Start, pool: str
) -> None:
    with start("one", slots=1, environ=LONG) as one:
        batch.send("runs", "hold")
        wait_until(lambda: starts(batch.file("runs")), "it runs", 60)
        file = batch.file("later")
        batch.handles["later"] = enqueue("claims.quick", {"file": str(file)}, countdown=5, app=batch.client)
        batch.send("reserved", "quick")
        for name in ("later", "reserved"):
            wait_until(lambda each=name: batch.state_of(each) == "claimed", f"{name} is claimed", 60)  # type: ignore[misc]
        one.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Warm shutdown" in one.log(), "the shutdown's begin")
        with start("two", slots=1, environ=LONG):
            batch.release(["runs"])
            one.process.wait(60)
            ended = time.monotonic()
            for name in ("reserved", "later"):
                assert batch.handles[name].result(60).succeeded
            assert time.monotonic() - ended < SOON
            batch.check()


@POOLS
def test_no_clock_of_a_worker_decides_nor_a_jump_of_one(batch: Batch, tmp_path: Path, start: Start) -> None:
    environs = {}
    wrong = tmp_path / "wrong"
    wrong.touch()
    for name, hours in (("fast", 3), ("slow", -3)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            "import os, time\nreal = time.time\n"
            f"time.time = lambda: real() + (os.path.exists({str(wrong)!r}) and {hours * 3600})\n",
            encoding="utf-8",
        )
        path = f"{batch.place.environ()['PYTHONPATH']}:{folder}"
        environs[name] = {**SETTINGS, "PYTHONPATH": path}
    with start("slow", environ=environs["slow"]):
        batch.begin(retrying=False)
        # To which all messages of the other one look three hours old, and then some.
        with start("fast", environ=environs["fast"]), start("third"):
            time.sleep(EXPIRY * 1.5)  # what is found lost would be so by now
            batch.release(["linked"])
            wrong.unlink()  # one jumps back by three hours, the other one ahead
            time.sleep(EXPIRY * 1.5)
            batch.release()
            batch.check()
