"""Executions are cancelled by their id, in each pool, wherever they are at that moment."""

from __future__ import annotations

import logging
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from attune_tasks import Handle, enqueue
from attune_tasks._celery.cancelling import cancel_execution
from attune_tasks.ids import execution_id_of, new_execution_id
from attune_tasks.tasks import NAME
from tests.celery_worker import CeleryWorker
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SECONDS = 30
ARRIVAL_MEDIAN, ARRIVAL_LONGEST = 0.1, 1.0
"""Seconds from the call of cancel() to the SIGTERM in the action. Three processes, one after the other, wait for their
turn on a machine that may be busy: one of several may wait long, half of them do not."""

_TRAP_PYTHON = """\
import pathlib, signal, sys, time
def run(params):
    def end(*_):
        asked = time.time()
        print("asked to end", flush=True)  # at once: the disk may be slow, and the grace is short
        pathlib.Path(params["file"] + ".term").write_text(repr(asked))
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    print("started", flush=True)
    pathlib.Path(params["file"]).touch()
    time.sleep(120)
"""
_TRAP_SHELL = """\
trap 'asked=$EPOCHREALTIME; echo asked to end; echo "$asked" >"$ATTUNE_ACTION_FILE.term"; exit 0' TERM
sleep 120 &
echo started
touch "$ATTUNE_ACTION_FILE"
wait
"""
_STUBBORN = """\
trap '' TERM
touch "$ATTUNE_ACTION_FILE"
while :; do sleep 1; done
"""
_TRAPS = {"python": _TRAP_PYTHON, "exec": _TRAP_PYTHON, "shell": _TRAP_SHELL, "stubborn": _STUBBORN}
REFS = ["ends.python", "ends.exec", "ends.shell"]


def write_trap_pack(place: Place) -> None:
    """Write the pack `ends`, whose actions note when they were asked to end."""
    actions = place.packs / "ends" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: ends\nlabel: Ends\n", encoding="utf-8")
    for name, text in _TRAPS.items():
        runtime = "shell" if name in {"shell", "stubborn"} else "python"
        head = f"ref: ends.{name}\nrunner_type: {runtime}\nentry_point: {name}.script\n"
        head += "isolation: exec\n" if name == "exec" else ""
        (actions / f"{name}.yaml").write_text(head + "parameters:\n  file: {type: string}\n", encoding="utf-8")
        (actions / f"{name}.script").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module", params=["prefork", "threads"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = make_place(tmp_path_factory.mktemp("cancelling"))
    write_trap_pack(made)
    return made


@pytest.fixture(scope="module")
def running(place: Place, pool: str) -> Iterator[CeleryWorker]:
    with worker(place, "-P", pool, "-c", "2") as started:
        yield started


@pytest.fixture
def begun(client: Celery, tmp_path: Path, running: CeleryWorker) -> Any:
    """Give a function which starts an action, and comes back when it runs."""

    def begin(ref: str, name: str = "one", **options: Any) -> tuple[Handle, Path]:
        file = tmp_path / name
        handle = enqueue(ref, {"file": str(file)}, app=client, **options)
        wait_until(file.exists, "the action's start")
        return handle, Path(f"{file}.term")

    return begin


@pytest.mark.parametrize("ref", REFS)
def test_a_running_execution_is_ended_at_once_with_what_it_said(begun: Any, ref: str, client: Celery) -> None:
    handle, _ = begun(ref)
    answer = handle.cancel()
    assert (answer.outcome, len(answer.workers)) == ("cancelling", 1)
    result = handle.result(timeout=SECONDS)
    assert (result.status, result.error, handle.status()) == (
        "cancelled",
        {"type": "cancelled", "message": "the execution was cancelled"},
        "cancelled",
    )
    assert result.stdout == "started\nasked to end\n"
    assert client.AsyncResult(handle.task_id).state == "FAILURE"
    assert handle.cancel().outcome == "ended"


def test_the_sigterm_comes_within_a_tenth_of_a_second(begun: Any) -> None:
    seconds = []
    for number, ref in enumerate(REFS * 4):
        handle, term = begun(ref, f"timed{number}")
        asked = time.time()
        handle.cancel()
        assert handle.result(timeout=SECONDS).status == "cancelled"
        seconds.append(float(term.read_text()) - asked)
    told = ", ".join(f"{each * 1000:.1f}" for each in sorted(seconds))
    logging.getLogger("tests").warning("SIGTERM so many ms after the call of cancel(): %s", told)
    assert statistics.median(seconds) < ARRIVAL_MEDIAN, told
    assert max(seconds) < ARRIVAL_LONGEST, told


def test_a_neighbour_runs_on(begun: Any) -> None:
    first, _ = begun("ends.python", "first")
    second, term = begun("ends.python", "second")
    assert first.cancel().outcome == "cancelling"
    assert first.result(timeout=SECONDS).status == "cancelled"
    assert (second.status(), term.exists()) == ("running", False)
    second.cancel()
    assert second.result(timeout=SECONDS).status == "cancelled"


def test_a_foreign_task_is_cancelled_by_its_execution_id(client: Celery, tmp_path: Path, running: CeleryWorker) -> None:
    file = tmp_path / "foreign"
    sent = client.send_task(NAME, ["ends.shell", {"file": str(file)}], task_id=f"nightly {new_execution_id()}")
    wait_until(file.exists, "the action's start")
    assert cancel_execution(client, execution_id_of(sent.id)).outcome == "cancelling"
    assert Handle(sent).result(timeout=SECONDS).status == "cancelled"


def test_an_execution_that_waits_for_its_time_is_cancelled_in_the_worker(
    client: Celery, tmp_path: Path, running: CeleryWorker
) -> None:
    handle = enqueue("ends.shell", {"file": str(tmp_path / "late")}, countdown=3, app=client)
    wait_until(lambda: f"[{handle.task_id}] received" in running.log(), "the receipt")
    assert handle.cancel().outcome == "cancelled"
    result = handle.result(timeout=2)
    assert (result.status, result.started_at, result.action_ref) == ("cancelled", None, "ends.shell")
    # Its time comes; by then nothing starts, and its state stays.
    after = enqueue("work.add", {"a": 1}, countdown=3.5, app=client)
    assert after.result(timeout=SECONDS).status == "succeeded"
    assert not (tmp_path / "late").exists()
    assert client.AsyncResult(handle.task_id).state == "FAILURE"
    inspected = client.control.inspect(timeout=5, limit=1)
    assert handle.task_id not in str(inspected.reserved())


def test_what_is_behind_others_is_cancelled_before_it_starts(begun: Any, client: Celery, tmp_path: Path) -> None:
    busy = [begun("ends.shell", f"busy{number}")[0] for number in range(2)]
    behind = [enqueue("ends.shell", {"file": str(tmp_path / f"behind{number}")}, app=client) for number in range(5)]
    answers = {handle.cancel().outcome for handle in behind}
    assert answers <= {"cancelled", "noted"}, answers
    for handle in busy:
        handle.cancel()
    for handle in [*busy, *behind]:
        assert handle.result(timeout=SECONDS).status == "cancelled"
    assert not list(tmp_path.glob("behind*"))


def test_an_execution_that_is_yet_to_come_is_not_started(client: Celery, tmp_path: Path, running: CeleryWorker) -> None:
    execution_id = new_execution_id()
    file = tmp_path / "never"
    assert cancel_execution(client, execution_id).outcome == "noted"
    handle = enqueue("ends.python", {"file": str(file)}, execution_id=execution_id, app=client)
    result = handle.result(timeout=SECONDS)
    assert (result.status, result.started_at, file.exists()) == ("cancelled", None, False)
    later = new_execution_id()
    cancel_execution(client, later)
    late = enqueue("ends.python", {"file": str(file)}, execution_id=later, countdown=60, app=client)
    wait_until(lambda: late.status() == "cancelled", "the end of what has an ETA, at its arrival")


def test_nobody_to_answer_is_said_soon(tmp_path: Path) -> None:
    client = make_place(tmp_path).client()
    handle = enqueue("work.add", {"a": 1}, app=client)
    began = time.monotonic()
    answer = handle.cancel(timeout=0.3)
    assert (answer.outcome, time.monotonic() - began < 3) == ("no_worker", True)
    assert "no worker answered" in str(answer)


@pytest.mark.parametrize("pool", ["prefork"], indirect=False)
def test_pool_processes_come_and_go_and_are_reached(tmp_path: Path, pool: str) -> None:
    own = make_place(tmp_path)
    write_trap_pack(own)
    client = own.client()
    with worker(own, "-P", pool, "-c", "1", "--max-tasks-per-child", "1"):
        for number in range(3):
            file = tmp_path / str(number)
            handle = enqueue("ends.python", {"file": str(file)}, app=client)
            wait_until(file.exists, "the action's start")
            assert handle.cancel().outcome == "cancelling"
            assert handle.result(timeout=SECONDS).status == "cancelled"


def test_no_descriptor_and_no_file_of_the_channels_is_left(tmp_path: Path) -> None:
    own = make_place(tmp_path)
    client = own.client()

    def sockets(pid: int) -> int:
        return sum(1 for fd in Path(f"/proc/{pid}/fd").iterdir() if str(fd.readlink()).startswith("socket:"))

    with worker(own, "-P", "prefork", "-c", "1", "--max-tasks-per-child", "1") as running:
        enqueue("work.add", {"a": 1}, app=client).result(timeout=SECONDS)
        before = sockets(running.process.pid)
        for _ in range(4):
            enqueue("work.add", {"a": 1}, app=client).result(timeout=SECONDS)
        assert sockets(running.process.pid) <= before + 1
        pools = subprocess.run(
            ["pgrep", "-P", str(running.process.pid)], check=True, capture_output=True, text=True
        ).stdout.split()
        assert len(pools) >= 1


def test_a_worker_that_starts_later_finds_the_note_in_redis(tmp_path: Path, redis_server: RedisServer) -> None:
    own = make_place(tmp_path, redis_server)
    client = own.client()
    client.conf.attune_tasks = {"packs": [str(own.packs)], "state_name": "notes"}
    first, second = (enqueue("work.add", {"a": number}, app=client) for number in (1, 2))
    answer = first.cancel(timeout=0.3)
    assert (answer.outcome, answer.workers) == ("noted", ())
    with worker(own, "-P", "prefork", "-c", "1", environ={"ATTUNE_TASKS_STATE_NAME": "notes"}):
        assert second.result(timeout=SECONDS).status == "succeeded"
        result = first.result(timeout=SECONDS)
    assert (result.status, result.started_at) == ("cancelled", None)


def test_the_solo_pool_hears_of_it_between_executions(tmp_path: Path) -> None:
    own = make_place(tmp_path)
    write_trap_pack(own)
    client = own.client()
    with worker(own, "-P", "solo") as running:
        busy = enqueue("work.wait", {"until": str(tmp_path / "go")}, app=client)
        wait_until(lambda: busy.status() == "running", "the start")
        assert busy.cancel(timeout=0.3).outcome == "no_worker"
        (tmp_path / "go").touch()
        assert busy.result(timeout=SECONDS).status == "succeeded"
        later = enqueue("ends.shell", {"file": str(tmp_path / "never")}, countdown=60, app=client)
        wait_until(lambda: f"[{later.task_id}] received" in running.log(), "the receipt")
        assert later.cancel(timeout=5).outcome == "cancelled"
        assert later.result(timeout=SECONDS).status == "cancelled"
