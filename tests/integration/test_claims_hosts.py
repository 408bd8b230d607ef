"""What befalls the host of a worker: memory and disk that are full. Each execution has one final state."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from attune_tasks import enqueue
from tests.acceptance.left import Seen, parent_of
from tests.integration.claims_batch import EXPIRY, LOST, SETTINGS, SUCCEEDED, Batch
from tests.integration.claims_pack import starts
from tests.integration.small_disk import clear, fill, small_disk
from tests.integration.workers import worker
from tests.processes import alive
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

POOLS = pytest.mark.parametrize("pool", ["prefork", "threads"])


def pool_process(batch: Batch, name: str) -> int:
    """Give the process that runs an execution: the parent of its launcher."""
    action = int(batch.file(name).read_text(encoding="utf-8").split()[-1])
    return parent_of(parent_of(Seen.of(action))).pid


@POOLS
def test_pool_processes_are_killed_as_where_memory_is_out(begun_batch: Batch) -> None:
    """In the threads pool that is the worker itself, and the other one goes on."""
    doomed = {pool_process(begun_batch, name) for name in ("linked", "again", "chained", "member", "single")}
    queued = [name for name in begun_batch.handles if name.startswith("queued") and starts(begun_batch.file(name))]
    lost = ["linked", "chained", "single", *(name for name in queued if pool_process(begun_batch, name) in doomed)]
    for process in doomed:
        os.kill(process, signal.SIGKILL)
    # At once: a worker may have reserved the next attempt behind an action that holds its only slot.
    begun_batch.release()
    wait_until(lambda: starts(begun_batch.file("again")) == 2, "it runs again", 60)
    begun_batch.check(
        dict.fromkeys(lost, LOST),
        {"linked-ok": 0, "linked-error": 1, "chained-ok": 0, "chained-error": 1},
    )


@pytest.mark.parametrize("last", ["pool process", "worker"])
def test_an_idempotent_action_has_three_attempts_where_each_is_lost(batch: Batch, last: str) -> None:
    link = {name: batch.follower(f"again-{name}") for name in ("ok", "error")}
    with worker(batch.place, "-P", "prefork", "-c", "1", environ=SETTINGS) as running:
        batch.send("again", "again", link=link["ok"], link_error=link["error"])
        for number in (1, 2, 3):
            wait_until(lambda count=number: starts(batch.file("again")) == count, f"attempt {number} runs", 60)  # type: ignore[misc]
            if number == 3 and last == "worker":
                running.kill(signal.SIGKILL)
                running.start()
            else:
                os.kill(pool_process(batch, "again"), signal.SIGKILL)
        batch.check({"again": LOST}, {"again-ok": 0, "again-error": 1})
        assert batch.handles["again"].result(1).attempt == starts(batch.file("again")) == 3


def test_a_pool_process_without_memory_leaves_no_execution_without_an_end(batch: Batch) -> None:
    with worker(batch.place, "-P", "prefork", "-c", "1", environ=SETTINGS):
        batch.send("first", "hold")
        wait_until(lambda: starts(batch.file("first")), "it runs", 60)
        process = pool_process(batch, "first")
        used = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
        resource.prlimit(process, resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
        batch.release(["first"])
        names = [f"poor-{number}" for number in range(6)]
        for name in names:
            batch.send(name, "quick")
        send_big(batch, "big")  # the last: for this one at least it has not enough
        found = {name: batch.handles[name].result(20 * EXPIRY) for name in ("first", *names, "big")}
        ends = {name: (end.status, end.error["type"] if end.error else None) for name, end in found.items()}
        assert {status for status, _ in ends.values()} <= {"succeeded", "error"}, ends
        assert ends["big"] != SUCCEEDED or not alive(process), "the limit was none"
        if alive(process):
            os.kill(process, signal.SIGKILL)  # as the kernel does it
        send_big(batch, "rich")
        assert batch.handles["rich"].result(60).succeeded
        # One of them may have been begun without memory for a child.
        childless = {name: 0 for name, end in ends.items() if end != SUCCEEDED and not starts(batch.file(name))}
        batch.check(ends, childless=childless)


def send_big(batch: Batch, name: str) -> None:
    """Send one whose parameters take more memory than a process has at hand."""
    parameters = {"file": str(batch.file(name)), "text": "x" * (8 << 20)}
    batch.handles[name] = enqueue("claims.big", parameters, app=batch.client)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is small")
@POOLS
def test_a_disk_that_is_full_is_an_end_for_what_needs_it_and_no_end_for_what_runs(
    batch: Batch, tmp_path: Path, pool: str
) -> None:
    with (
        small_disk(tmp_path) as disk,
        worker(batch.place, "-P", pool, "-c", "2", environ={**SETTINGS, "TMPDIR": str(disk)}),
    ):
        batch.send("runs", "hold")
        wait_until(lambda: starts(batch.file("runs")), "it runs", 60)
        fill(disk)
        names = [f"poor-{number}" for number in range(4)]
        for name in names:
            batch.send(name, "quick")
        ends = {name: batch.handles[name].result(60) for name in names}
        clear(disk)
        batch.send("rich", "quick")
        batch.release(["runs"])
        assert batch.handles["rich"].result(60).succeeded
        assert batch.handles["runs"].result(60).succeeded
        wait_until(lambda: not batch.unsettled(), "all is told", 60)
        for name, end in ends.items():
            kind = (end.status, end.error["type"] if end.error else None)
            assert kind in {SUCCEEDED, ("error", "start_failed")}, (name, end)
            assert starts(batch.file(name)) == (end.started_at is not None), name
