"""A worker that is killed between two steps of a claim: each execution has its one end all the same, and in time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from attune_tasks import enqueue
from tests.acceptance.left import Seen, below
from tests.celery_worker import CeleryWorker
from tests.integration.claims_batch import EXPIRY, LOST, SETTINGS, Batch
from tests.integration.claims_pack import starts
from tests.integration.workers import worker
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

POOLS = pytest.mark.parametrize("pool", ["prefork", "threads"])
BOUND = EXPIRY * 7 / 6
"""Seconds from a worker's loss until a reaper has seen it."""
SLACK = 6.0
"""For a machine that is busy."""

# The process that does the step is killed once it is done, and before anything else is: once, where there is the file.
_DEADLY = """\
import os, signal
from attune_tasks._celery.claims import claim, reaping, worker
from attune_tasks.app import app


def deadly(holder, name):
    step = getattr(holder, name)

    def last_step(*arguments, **options):
        given = step(*arguments, **options)
        try:
            os.unlink("deadly")
        except FileNotFoundError:
            return given
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(holder, name, last_step)


deadly({holder}, "{name}")
"""

Start = Callable[..., AbstractContextManager[CeleryWorker]]


@pytest.fixture
def start(batch: Batch, pool: str) -> Start:
    """Give a way to start a worker with a name, on the batch's place, and on an app that it names."""

    def start_worker(name: str, app: str = "attune_tasks.app", slots: int = 2) -> AbstractContextManager[CeleryWorker]:
        arguments = ("-P", pool, "-c", str(slots), "-n", f"{name}@here")
        return worker(batch.place, *arguments, app=app, environ=SETTINGS, log=f"{name}.log")

    return start_worker


@pytest.fixture
def arm(batch: Batch) -> Callable[[str, str], Path]:
    """Give a way to have the app `mine` killed after a step; its file says that it was not yet."""

    def write(holder: str, name: str) -> Path:
        text = _DEADLY.replace("{holder}", holder).replace("{name}", name)
        (batch.place.folder / "mine.py").write_text(text, encoding="utf-8")
        fuse = batch.place.folder / "deadly"
        fuse.touch()
        return fuse

    return write


Arm = Callable[[str, str], Path]


@pytest.mark.parametrize(("pool", "action"), [("prefork", "quick"), ("threads", "again")])
def test_killed_when_it_was_begun_and_no_child_was_started(batch: Batch, start: Start, arm: Arm, action: str) -> None:
    fuse = arm("claim.Claim", "begin")
    batch.send("execution", action)
    batch.release()
    with start("one", app="mine"):
        wait_until(lambda: not fuse.exists(), "it is killed", 60)
        killed = time.monotonic()
        with start("two"):
            result = batch.handles["execution"].result(60)
            if action == "quick":
                # Of what was recorded as begun nobody can tell whether it has: this attempt had no child.
                assert (result.status, result.error and result.error["type"]) == LOST
                assert (result.attempt, starts(batch.file("execution"))) == (1, 0)
                assert time.monotonic() - killed < BOUND + SLACK
            else:
                assert (result.status, result.attempt, starts(batch.file("execution"))) == ("succeeded", 2, 1)
            wait_until(lambda: not batch.unsettled(), "all is told", 60)


@POOLS
def test_killed_when_the_end_was_written_and_not_stored(batch: Batch, start: Start, arm: Arm) -> None:
    fuse = arm("claim.Claim", "finish")
    link = {name: batch.follower(f"execution-{name}") for name in ("ok", "error")}
    batch.send("execution", "quick", link=link["ok"], link_error=link["error"])
    with start("one", app="mine"):
        wait_until(lambda: not fuse.exists(), "it is killed", 60)
        killed = time.monotonic()
        with start("two"):
            batch.check(followed={"execution-ok": 1, "execution-error": 0})
            assert time.monotonic() - killed < BOUND + 2 * SLACK


@pytest.mark.parametrize("pool", ["prefork"])
def test_killed_when_another_attempt_was_decided_and_not_sent(batch: Batch, start: Start, arm: Arm) -> None:
    fuse = arm("claim.Claim", "again")
    batch.send("execution", "flaky")
    with start("one", app="mine"):
        wait_until(lambda: not fuse.exists(), "it is killed", 60)
        with start("two"):
            batch.check()
            assert starts(batch.file("execution")) == 3


@pytest.mark.parametrize("pool", ["threads"])
def test_a_reaper_is_killed_when_it_has_found_a_lost_execution(batch: Batch, start: Start, arm: Arm) -> None:
    fuse = arm("reaping", "_outcome")
    link = {name: batch.follower(f"execution-{name}") for name in ("ok", "error")}
    batch.send("execution", "hold", link=link["ok"], link_error=link["error"])
    with start("one") as one:
        wait_until(lambda: starts(batch.file("execution")), "it runs", 60)
        one.kill(signal.SIGKILL)
        with start("two", app="mine"):
            wait_until(lambda: not fuse.exists(), "the reaper is killed", 60)
            with start("three"):
                batch.check({"execution": LOST}, {"execution-ok": 0, "execution-error": 1})


@POOLS
def test_what_a_killed_worker_had_and_had_not_begun_runs_once_and_soon(batch: Batch, start: Start, pool: str) -> None:
    with start("one", slots=1) as one:
        batch.send("begun", "hold")
        wait_until(lambda: starts(batch.file("begun")), "it runs", 60)
        file = batch.file("later")
        batch.handles["later"] = enqueue("claims.quick", {"file": str(file)}, countdown=1, app=batch.client)
        batch.send("reserved", "quick")
        for name in ("reserved", "later"):
            wait_until(lambda each=name: batch.state_of(each) == "claimed", f"{name} is claimed", 60)  # type: ignore[misc]
        with start("two"):
            one.kill(signal.SIGKILL)
            killed = time.monotonic()
            for name in batch.handles:
                batch.handles[name].result(60)
                assert time.monotonic() - killed < BOUND + SLACK, name
            batch.check({"begun": LOST})


def send(number: signal.Signals, processes: Iterable[Seen]) -> None:
    """Send processes a signal, of which some may have ended: an action starts others all the time."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


@pytest.mark.parametrize("pool", ["prefork"])
def test_a_worker_that_is_stopped_with_all_its_processes_comes_back_too_late(batch: Batch, start: Start) -> None:
    with start("one", slots=3) as one:
        for name, action in (("held", "hold"), ("again", "again")):
            batch.send(name, action)
            wait_until(lambda each=name: starts(batch.file(each)), f"{name} runs", 60)  # type: ignore[misc]
        group = [Seen.of(one.process.pid), *below(Seen.of(one.process.pid))]
        send(signal.SIGSTOP, group)
        try:
            with start("two"):
                wait_until(lambda: starts(batch.file("again")) == 2, "it runs elsewhere", 60)
                assert batch.handles["held"].result(60).error
                send(signal.SIGCONT, group)
                batch.release()
                batch.check(replaced=["held"])
        finally:
            send(signal.SIGCONT, group)
