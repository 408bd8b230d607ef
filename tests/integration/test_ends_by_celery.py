"""What Celery itself ends an execution by: each leaves a final state that says so, and no process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attune_tasks import ExecutionResult, Handle
from attune_tasks.process._launcher import attune_tree
from attune_tasks.tasks import NAME
from tests.celery_worker import CeleryWorker
from tests.integration.test_cancelling import REFS, write_trap_pack
from tests.integration.workers import Place, make_place, worker
from tests.processes import alive
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SECONDS = 30
_TREE: Any = attune_tree  # it is not typed
_APP = "from attune_tasks.app import app\napp.conf.worker_soft_shutdown_timeout = {soft}\n"


class Site:
    """A place with the pack `ends`, and the means to talk to its broker."""

    def __init__(self, folder: Path, redis: RedisServer | None) -> None:
        """Make it, on the embedded broker where there is no Redis."""
        self.place: Place = make_place(folder, redis)
        write_trap_pack(self.place)
        self.client = self.place.client()

    @contextmanager
    def worker(self, pool: str = "prefork", *arguments: str, soft: float = 0) -> Iterator[CeleryWorker]:
        """Run a worker with two slots."""
        (self.place.folder / "mine.py").write_text(_APP.format(soft=soft), encoding="utf-8")
        options = ["-P", pool, *(() if "--autoscale" in arguments else ("-c", "2")), *arguments]
        with worker(self.place, *options, app="mine", environ={"ATTUNE_TASKS_GRACE": "3"}) as running:
            yield running

    def begin(self, ref: str = "ends.shell", name: str = "one", **options: Any) -> Handle:
        """Start an action, and come back when it runs."""
        file = self.place.folder / name
        sent = self.client.send_task(NAME, [ref, {"file": str(file)}], **options)
        wait_until(file.exists, "the action's start")
        return Handle(sent, ref)

    def begin_within(self, limit: str, ref: str = "ends.shell") -> tuple[Handle, Path]:
        """Start an action with a time limit of Celery's that passes after its start; come back when it runs.

        Celery counts from when a pool process has taken the message. The action is started after that, and on a busy
        machine the limit may pass first. Then that was the execution's end, and a longer one is taken.
        """
        for seconds in (1.5, 6, 24):
            file = self.place.folder / f"within-{seconds}"
            options: dict[str, Any] = {limit: seconds}
            handle = Handle(self.client.send_task(NAME, [ref, {"file": str(file)}], **options), ref)
            wait_until(lambda: file.exists() or handle.status() == "timed_out", "the action's start, or its end", 40)  # noqa: B023 - called here
            if file.exists():
                return handle, file
        pytest.fail("no action started within 24 seconds")

    def state(self, handle: Handle) -> str:
        """Give Celery's own state."""
        return str(self.client.AsyncResult(handle.task_id).state)


@pytest.fixture(params=["embedded", "redis"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Give a site on each broker: with Celery's event loop and without."""
    return Site(tmp_path, request.getfixturevalue("redis_server") if request.param == "redis" else None)


def alive_below(pid: int) -> list[int]:
    """Give all that runs below a process."""
    return [child for child in _TREE.walk([pid])[1:] if alive(child)]


def pool_process_of(running: CeleryWorker, file: Path) -> int:
    """Give the pool process below which the shell action runs that was given `file`."""
    wanted = f"ATTUNE_ACTION_FILE={file}\0".encode()
    (found,) = [
        pool
        for pool in _TREE.children_of(running.process.pid)
        if any(wanted in _environ(pid) for pid in _TREE.walk([pool])[1:])
    ]
    return int(found)


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def kind(result: ExecutionResult) -> tuple[str, str]:
    """Give status and error type."""
    assert result.error is not None
    return result.status, result.error["type"]


def said_about(handle: Handle, running: CeleryWorker) -> str:
    """Give what the worker's log has on an execution: whether its grace was over, say."""
    return "\n".join(line for line in running.log().splitlines() if str(handle.execution_id) in line)


@pytest.mark.parametrize("number", ["TERM", "KILL"])
def test_celerys_revoke_with_terminate_is_final_and_ends_all(site: Site, number: str) -> None:
    with site.worker() as running:
        handle = site.begin()
        below = alive_below(pool_process_of(running, site.place.folder / "one"))
        assert below
        site.client.control.revoke(handle.task_id, terminate=True, signal=number)
        assert kind(handle.result(timeout=SECONDS)) == ("cancelled", "terminated")
        wait_until(lambda: not any(map(alive, below)), "the end of the tree", 2)
        # What the next execution stores is stored after whatever the killed process could still have.
        assert Handle(site.client.send_task(NAME, ["work.add", {"a": 1}])).result(timeout=SECONDS).result == 3
        assert site.state(handle) == "REVOKED"


@pytest.mark.parametrize("ref", REFS)
def test_a_soft_time_limit_ends_an_action_as_its_deadline_does(site: Site, ref: str) -> None:
    with site.worker():
        handle, _ = site.begin_within("soft_time_limit", ref)
        result = handle.result(timeout=SECONDS)
        assert kind(result) == ("timed_out", "soft_time_limit")
        assert result.stdout == "started\nasked to end\n"
        assert site.state(handle) == "FAILURE"


def test_a_hard_time_limit_is_final(site: Site) -> None:
    with site.worker() as running:
        handle, file = site.begin_within("time_limit")
        below = alive_below(pool_process_of(running, file))
        assert kind(handle.result(timeout=SECONDS)) == ("timed_out", "hard_time_limit")
        wait_until(lambda: not any(map(alive, below)), "the end of the tree", 2)
        assert site.state(handle) == "FAILURE"
        assert isinstance(site.client.AsyncResult(handle.task_id).result.args[0], dict)


def test_a_killed_pool_process_is_told_as_such(site: Site) -> None:
    with site.worker() as running:
        handle = site.begin()
        neighbour = site.begin(name="two")
        victim = pool_process_of(running, site.place.folder / "one")
        below = alive_below(victim)
        os.kill(victim, signal.SIGKILL)
        assert kind(handle.result(timeout=SECONDS)) == ("error", "worker_lost")
        assert site.state(handle) == "FAILURE"
        wait_until(lambda: not any(map(alive, below)), "the end of the tree", 2)
        assert neighbour.status() == "running"


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
@pytest.mark.parametrize("ref", REFS)
def test_a_cold_shutdown_ends_actions_as_a_cancellation_does(site: Site, pool: str, ref: str) -> None:
    with site.worker(pool) as running:
        handle = site.begin(ref)
        below = alive_below(running.process.pid)
        running.process.send_signal(signal.SIGQUIT)
        running.process.wait(SECONDS)
        wait_until(lambda: not any(map(alive, below)), "the end of all processes", 2)
        result = handle.result(timeout=2)
        assert kind(result) == ("cancelled", "worker_shutdown")
        assert result.stdout == "started\nasked to end\n", said_about(handle, running)
        assert site.state(handle) == "FAILURE"


def test_what_waits_for_another_execution_ends_with_the_last_one_and_not_with_the_pool(site: Site) -> None:
    with site.worker(soft=20) as running:
        handle = site.begin()
        pool = pool_process_of(running, site.place.folder / "one")
        below = alive_below(pool)
        running.process.send_signal(signal.SIGQUIT)
        wait_until(lambda: "Soft Shutdown" in running.log(), "the soft shutdown")
        running.process.send_signal(signal.SIGQUIT)
        wait_until(lambda: not any(map(alive, below)), "the end of the action and of its launcher", 10)
        assert alive(pool), "Celery waits on, and closes the pool afterwards"
        running.process.send_signal(signal.SIGQUIT)
        running.process.wait(SECONDS)
        assert kind(handle.result(timeout=2)) == ("cancelled", "worker_shutdown")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_soft_shutdown_lets_what_ends_in_time_succeed(site: Site, pool: str) -> None:
    with site.worker(pool, soft=2) as running:
        go = site.place.folder / "go"
        quick = Handle(site.client.send_task(NAME, ["work.wait", {"until": str(go)}]))
        slow = site.begin()
        wait_until(lambda: quick.status() == "running", "the start")
        running.process.send_signal(signal.SIGQUIT)
        wait_until(lambda: "Soft Shutdown" in running.log(), "the soft shutdown")
        go.touch()
        running.process.wait(SECONDS)
        assert quick.result(timeout=2).status == "succeeded"
        assert kind(slow.result(timeout=2)) == ("cancelled", "worker_shutdown")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_warm_shutdown_waits(site: Site, pool: str) -> None:
    with site.worker(pool) as running:
        go = site.place.folder / "go"
        handle = Handle(site.client.send_task(NAME, ["work.wait", {"until": str(go)}]))
        wait_until(lambda: handle.status() == "running", "the start")
        running.process.terminate()
        wait_until(lambda: "Warm shutdown" in running.log(), "the shutdown")
        go.touch()
        assert running.process.wait(SECONDS) == 0
        assert handle.result(timeout=2).status == "succeeded"


def test_a_worker_that_is_made_to_end_at_once_leaves_final_states(site: Site) -> None:
    with site.worker(soft=5) as running:
        handle = site.begin("ends.stubborn")
        below = alive_below(running.process.pid)
        running.process.send_signal(signal.SIGQUIT)
        wait_until(lambda: "Soft Shutdown" in running.log(), "the soft shutdown")
        running.process.send_signal(signal.SIGQUIT)
        wait_until(lambda: "Waiting gracefully" in running.log(), "the second step")
        running.process.send_signal(signal.SIGQUIT)
        running.process.wait(SECONDS)
        wait_until(lambda: not any(map(alive, below)), "the end of all processes", 2)
        assert kind(handle.result(timeout=2)) == ("cancelled", "worker_shutdown")


def test_revoke_ends_an_action_in_the_threads_pool_too(site: Site) -> None:
    with site.worker("threads"):
        handle = site.begin()
        site.client.control.revoke(handle.task_id, terminate=True)
        assert kind(handle.result(timeout=SECONDS)) == ("cancelled", "revoked")


@pytest.mark.parametrize(
    "arguments", [("--max-tasks-per-child", "1"), ("--max-memory-per-child", "1"), ("--autoscale", "3,1")]
)
def test_pool_processes_that_are_replaced_finish_first(site: Site, arguments: tuple[str, str]) -> None:
    with site.worker("prefork", *arguments) as running:
        sent = [site.client.send_task(NAME, ["work.add", {"a": number}]) for number in range(6)]
        assert [Handle(each).result(timeout=SECONDS).result for each in sent] == [2, 3, 4, 5, 6, 7]
        handle = site.begin()
        assert handle.cancel().outcome == "cancelling"
        assert handle.result(timeout=SECONDS).status == "cancelled"
        assert running.process.poll() is None
