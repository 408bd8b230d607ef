"""Each execution has exactly one final state, whatever becomes of its worker or its message."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, states

from attune_tasks import Handle, enqueue
from attune_tasks._celery.claims.reaping import LOST, reap
from attune_tasks._celery.executions_seen import seen_executions
from attune_tasks.errors import SettingsError
from attune_tasks.tasks import run_action
from tests.celery_worker import CeleryWorker
from tests.integration.claims_pack import starts, write_claims_pack
from tests.integration.workers import Place, make_place, worker
from tests.processes import alive
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SECONDS = 40
EXPIRY = {"ATTUNE_TASKS_CLAIMS__EXPIRY": "3", "ATTUNE_TASKS_GRACE": "0.5"}


@pytest.fixture
def place(tmp_path: Path, redis_server: RedisServer) -> Place:
    made = make_place(tmp_path, redis_server)
    write_claims_pack(made)
    return made


@pytest.fixture
def client(place: Place) -> Celery:
    app = place.client()
    app.main = "attune_tasks"
    return app


@pytest.fixture(params=["prefork", "threads"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def workers(place: Place) -> Iterator[Any]:
    with ExitStack() as stack:

        def start(name: str, *arguments: str) -> CeleryWorker:
            return stack.enter_context(
                worker(place, "-n", f"{name}@here", *arguments, environ=EXPIRY, log=f"{name}.log")
            )

        yield start


def record(place: Place, handle: Handle) -> dict[str, str]:
    assert place.redis
    with place.redis.client(place.database) as redis:
        found = redis.hgetall(f"attune:{{attune_tasks}}:claim:{handle.execution_id}")
    return {name.decode(): value.decode() for name, value in found.items()}


def unsettled(place: Place) -> list[bytes]:
    assert place.redis
    with place.redis.client(place.database) as redis:
        return [name for name in (b"claims", b"queued") if redis.exists(b"attune:{attune_tasks}:" + name)]


def test_an_execution_is_claimed_begun_and_finished(place: Place, client: Celery, workers: Any, pool: str) -> None:
    workers("one", "-P", pool, "-c", "2")
    file = place.folder / "file"
    handle = enqueue("claims.hold", {"file": str(file)}, app=client)
    wait_until(lambda: starts(file), "the action started")
    assert record(place, handle)["state"] == "begun"
    file.with_name("file.go").touch()
    assert handle.result(SECONDS).succeeded
    wait_until(lambda: record(place, handle).get("delivered") == "1", "the end is told")
    assert "message" not in record(place, handle)
    assert place.redis
    with place.redis.client(place.database) as redis:
        assert not redis.exists("attune:{attune_tasks}:claims")


def test_a_lost_workers_execution_ends_as_lost_and_a_late_message_changes_nothing(
    place: Place, client: Celery, workers: Any, pool: str
) -> None:
    first = workers("one", "-P", pool, "-c", "1")
    file = place.folder / "file"
    handle = enqueue("claims.hold", {"file": str(file)}, app=client)
    wait_until(lambda: starts(file), "the action started")
    first.kill(signal.SIGKILL)
    workers("two", "-P", pool, "-c", "1")
    result = handle.result(SECONDS)
    assert (result.status, result.error and result.error["type"], result.attempt) == ("error", "worker_lost", 1)
    # The broker delivers it again, as after its visibility timeout.
    run_action_again(client, handle, "claims.hold", file)
    other = enqueue("claims.quick", {"file": str(place.folder / "other")}, app=client)
    assert other.result(SECONDS).succeeded
    assert handle.status() == "error"
    assert starts(file) == 1


def run_action_again(client: Celery, handle: Handle, ref: str, file: Path) -> None:
    client.tasks[run_action.name].apply_async((ref, {"file": str(file)}), task_id=handle.task_id)


def test_a_lost_workers_idempotent_execution_runs_again(place: Place, client: Celery, workers: Any, pool: str) -> None:
    first = workers("one", "-P", pool, "-c", "1")
    file = place.folder / "file"
    handle = enqueue("claims.again", {"file": str(file)}, app=client)
    wait_until(lambda: starts(file), "the action started")
    first.kill(signal.SIGKILL)
    workers("two", "-P", pool, "-c", "1")
    wait_until(lambda: starts(file) == 2, "it started again", SECONDS)
    file.with_name("file.go").touch()
    result = handle.result(SECONDS)
    assert (result.status, result.attempt) == ("succeeded", 2)


@pytest.mark.parametrize("asked", ["result", "status"])
def test_with_all_workers_dead_who_asks_is_told(place: Place, client: Celery, workers: Any, asked: str) -> None:
    first = workers("one", "-c", "1")
    file = place.folder / "file"
    handle = enqueue("claims.hold", {"file": str(file)}, app=client)
    wait_until(lambda: starts(file), "the action started")
    first.kill(signal.SIGKILL)
    if asked == "status":  # which alone has to find it, each time that it is called
        assert handle.status() == "running"
        wait_until(lambda: handle.status() == "error", "status() says so", SECONDS)
        assert client.backend.get_state(handle.task_id) == states.FAILURE
    result = handle.result(SECONDS)
    assert result.error
    assert result.error["type"] == "worker_lost"
    assert handle.status() == "error"


def test_a_stopped_workers_result_takes_the_place_of_worker_lost(place: Place, client: Celery, workers: Any) -> None:
    first = workers("one", "-P", "threads", "-c", "1")
    file = place.folder / "file"
    linked = place.folder / "linked"
    sent = client.tasks[run_action.name].apply_async(
        ("claims.hold", {"file": str(file)}),
        link=run_action.si("claims.quick", {"file": str(linked)}),
        link_error=run_action.si("claims.quick", {"file": str(linked) + ".error"}),
    )
    handle = Handle(sent)
    wait_until(lambda: starts(file), "the action started")
    os.kill(first.process.pid, signal.SIGSTOP)
    workers("two", "-P", "threads", "-c", "1")
    assert handle.result(SECONDS).error == {"type": "worker_lost", "message": LOST}
    file.with_name("file.go").touch()
    os.kill(first.process.pid, signal.SIGCONT)
    wait_until(lambda: handle_again(client, handle).status() == "succeeded", "the real result is stored", SECONDS)
    wait_until(lambda: starts(Path(f"{linked}.error")) == 1, "what follows the first final state has run", SECONDS)
    assert starts(linked) == 0
    assert starts(file) == 1


def handle_again(client: Celery, handle: Handle) -> Handle:
    return Handle.from_task_id(handle.task_id, client)


def test_a_stopped_workers_idempotent_execution_is_killed_before_it_runs_elsewhere(
    place: Place, client: Celery, workers: Any, pool: str
) -> None:
    first = workers("one", "-P", pool, "-c", "1")
    file = place.folder / "file"
    handle = enqueue("claims.again", {"file": str(file)}, app=client)
    wait_until(lambda: starts(file), "the action started")
    os.killpg(first.process.pid, signal.SIGSTOP)  # its pool processes, too; launchers have sessions of their own
    workers("two", "-P", pool, "-c", "1")
    pids: list[int] = []

    def is_running_twice() -> bool:
        pids[:] = [int(line.split()[1]) for line in file.read_text(encoding="utf-8").splitlines()]
        return len(pids) == 2

    wait_until(is_running_twice, "it started again", SECONDS)
    assert not alive(pids[0])
    assert alive(pids[1])
    os.killpg(first.process.pid, signal.SIGCONT)
    file.with_name("file.go").touch()
    result = handle.result(SECONDS)
    assert (result.status, result.attempt) == ("succeeded", 2)
    assert starts(file) == 2


def test_an_action_is_retried_as_its_metadata_says(place: Place, client: Celery, workers: Any, pool: str) -> None:
    workers("one", "-P", pool, "-c", "2")
    file, failing = place.folder / "file", place.folder / "failing"
    good = enqueue("claims.flaky", {"file": str(file)}, app=client)
    bad = enqueue("claims.flaky", {"file": str(failing), "good": 9}, app=client)
    result = good.result(SECONDS)
    assert (result.status, result.attempt, starts(file)) == ("succeeded", 3, 3)
    result = bad.result(SECONDS)
    assert (result.status, result.attempt, starts(failing)) == ("failed", 3, 3)


def test_no_more_run_at_once_than_concurrency_says_and_a_ticket_outlives_no_worker(
    place: Place, client: Celery, workers: Any, pool: str
) -> None:
    first = workers("one", "-P", pool, "-c", "2")
    files = [place.folder / f"file{number}" for number in range(3)]
    handles = [enqueue("claims.single", {"file": str(file)}, app=client) for file in files]
    wait_until(lambda: sum(map(starts, files)) == 1, "one has started")
    wait_until(lambda: [record(place, handle).get("state") for handle in handles].count("parked") == 2, "two wait")
    assert [handle.status() for handle in handles].count("pending") == 2
    first.kill(signal.SIGKILL)
    workers("two", "-P", pool, "-c", "2")
    for file in files:
        file.with_name(file.name + ".go").touch()
    ends = [handle.result(SECONDS) for handle in handles]
    assert sorted(end.status for end in ends) == ["error", "succeeded", "succeeded"]
    assert sum(map(starts, files)) == 3


def test_an_execution_over_the_limit_fails_where_it_is_to(place: Place, client: Celery, workers: Any) -> None:
    workers("one", "-c", "3")
    files = [place.folder / f"file{number}" for number in range(3)]
    first = enqueue("claims.one_each", {"file": str(files[0]), "key": "a"}, app=client)
    wait_until(lambda: starts(files[0]), "it started")
    second = enqueue("claims.one_each", {"file": str(files[1]), "key": "a"}, app=client)
    other = enqueue("claims.one_each", {"file": str(files[2]), "key": "b"}, app=client)
    result = second.result(SECONDS)
    assert (result.status, result.error and result.error["type"]) == ("error", "concurrency_limit")
    wait_until(lambda: starts(files[2]), "one of another key started")
    for file in files:
        file.with_name(file.name + ".go").touch()
    assert first.result(SECONDS).succeeded
    assert other.result(SECONDS).succeeded
    assert starts(files[1]) == 0


def test_what_runs_and_waits_is_listed_with_its_worker(place: Place, client: Celery, workers: Any, pool: str) -> None:
    files = [place.folder / f"file{number}" for number in range(4)]
    first = enqueue("claims.hold", {"file": str(files[0])}, app=client)
    assert [(each.execution_id, each.state, each.worker) for each in seen_executions(client)] == [
        (first.execution_id, "queued", "")
    ]
    workers("one", "-P", pool, "-c", "3")
    single = [enqueue("claims.single", {"file": str(file)}, app=client) for file in files[1:3]]
    later = enqueue("claims.quick", {"file": str(files[3])}, countdown=3600, app=client)
    sent = [first, *single, later]
    wanted = {first.execution_id: "running", later.execution_id: "reserved"}

    def states_seen() -> dict[int, str]:
        return {each.execution_id: each.state for each in seen_executions(client)}

    expected = ["parked", "reserved", "running", "running"]
    wait_until(lambda: sorted(states_seen().values()) == expected, "two run and two wait")
    assert wanted.items() <= states_seen().items()
    listed = {each.execution_id: each for each in seen_executions(client)}
    assert {each.action_ref for each in listed.values()} == {"claims.hold", "claims.single", "claims.quick"}
    assert {each.task_id for each in listed.values()} == {handle.task_id for handle in sent}
    assert listed[first.execution_id].worker == "one@here"
    for file in files:
        file.with_name(file.name + ".go").touch()
    assert all(handle.result(SECONDS).succeeded for handle in sent[:-1])
    later.cancel()
    assert later.result(SECONDS).status == "cancelled"
    assert seen_executions(client) == []


def test_what_waits_for_a_ticket_or_its_next_attempt_is_cancelled_at_once(
    place: Place, client: Celery, workers: Any
) -> None:
    workers("one", "-c", "2")
    files = [place.folder / f"file{number}" for number in range(3)]
    first = enqueue("claims.single", {"file": str(files[0])}, app=client)
    wait_until(lambda: starts(files[0]), "it started")
    linked = place.folder / "linked"
    task = client.tasks[run_action.name]
    sent = task.apply_async(
        ("claims.single", {"file": str(files[1])}), link_error=task.si("claims.quick", {"file": str(linked)})
    )
    parked = Handle(sent)
    wait_until(lambda: record(place, parked).get("state") == "parked", "it is parked")
    assert parked.cancel().outcome == "cancelled"
    assert parked.result(1).status == "cancelled"
    wait_until(lambda: starts(linked) == 1, "link_error ran")
    retried = enqueue("claims.slow_retry", {"file": str(files[2])}, app=client)
    wait_until(lambda: starts(files[2]), "its first attempt started")
    wait_until(lambda: record(place, retried)["attempt"] == "2", "the second one is to follow")
    wait_until(lambda: record(place, retried)["state"] == "claimed", "the worker has it, for later")
    assert retried.cancel().outcome in {"cancelled", "cancelling"}  # its first attempt may be about to end
    assert retried.result(5).status == "cancelled"
    files[0].with_name("file0.go").touch()
    assert first.result(SECONDS).succeeded
    assert (starts(files[1]), starts(files[2])) == (0, 1)


def test_without_shared_state_the_workers_tell_what_runs(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    write_claims_pack(place)
    client = place.client()
    with worker(place, "-c", "1"):
        file = place.folder / "file"
        handle = enqueue("claims.hold", {"file": str(file)}, app=client)
        wait_until(lambda: starts(file), "it started")
        (seen,) = seen_executions(client)
        assert (seen.execution_id, seen.task_id, seen.action_ref) == (
            handle.execution_id,
            handle.task_id,
            "claims.hold",
        )
        assert (seen.state, seen.attempt) == ("running", 1)
        assert seen.worker.startswith("celery@")
        file.with_name("file.go").touch()
        assert handle.result(SECONDS).succeeded


def test_a_second_enqueue_with_the_same_key_gives_the_first_ones_handle(
    place: Place, client: Celery, workers: Any
) -> None:
    file = place.folder / "file"
    first = enqueue("claims.quick", {"file": str(file)}, idempotency_key="march", app=client)
    second = enqueue("claims.quick", {"file": str(file)}, idempotency_key="march", app=client)
    other = enqueue("claims.quick", {"file": str(file)}, idempotency_key="april", app=client)
    short = enqueue("claims.quick", {"file": str(file)}, idempotency_key="m", idempotency_seconds=0.05, app=client)
    assert second.task_id == first.task_id != other.task_id
    assert place.redis
    with place.redis.client(place.database) as redis:
        wait_until(lambda: len(redis.keys("attune:{attune_tasks}:idempotency:*")) == 2, "the time of the third is over")
    again = enqueue("claims.quick", {"file": str(file)}, idempotency_key="m", idempotency_seconds=60, app=client)
    assert again.task_id != short.task_id
    workers("one", "-c", "1")
    assert all(handle.result(SECONDS).succeeded for handle in (first, second, other, short, again))
    assert starts(file) == 4
    assert enqueue("claims.quick", {"file": str(file)}, idempotency_key="march", app=client).status() == "succeeded"
    assert enqueue("claims.hold", {"file": str(file)}, idempotency_key="march", app=client).task_id != first.task_id


def test_an_idempotency_key_needs_shared_state(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    with pytest.raises(SettingsError, match="state_url"):
        enqueue("work.add", {"a": 1}, idempotency_key="x", app=place.client())


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_chain_and_a_chord_go_on_after_a_lost_worker(place: Place, client: Celery, workers: Any, pool: str) -> None:
    first = workers("one", "-P", pool, "-c", "3")
    task = client.tasks[run_action.name]
    file, again, after = place.folder / "file", place.folder / "again", place.folder / "after"
    failing = chain(
        task.si("claims.hold", {"file": str(file)}),
        task.si("claims.quick", {"file": str(after)}),
    )
    chained = failing.apply_async(link_error=task.si("claims.quick", {"file": str(place.folder / "error")}))
    chorded = chord(
        [task.si("claims.again", {"file": str(again)}), task.si("claims.quick", {"file": str(place.folder / "q")})],
        task.si("claims.quick", {"file": str(place.folder / "body")}),
    ).apply_async()
    lost, mourned = place.folder / "lost", place.folder / "mourned"
    body = task.si("claims.quick", {"file": str(place.folder / "no-body")}).on_error(
        task.si("claims.quick", {"file": str(mourned)})
    )
    header = [task.si("claims.hold", {"file": str(lost)}), task.si("claims.quick", {"file": str(place.folder / "r")})]
    unchorded = chord(header, body).apply_async().id
    wait_until(lambda: starts(file) and starts(again) and starts(lost), "all have started")
    first.kill(signal.SIGKILL)
    workers("two", "-P", pool, "-c", "2")
    again.with_name("again.go").touch()
    assert chorded.get(timeout=SECONDS)["status"] == "succeeded"
    for each in (place.folder / "error", mourned):
        wait_until(lambda file=each: starts(file) == 1, "link_error ran", SECONDS)  # type: ignore[misc]
    parent: Any = chained.parent
    assert parent.state == states.FAILURE
    assert starts(after) == 0
    assert starts(place.folder / "body") == 1
    assert client.backend.get_state(unchorded) == states.FAILURE
    assert starts(place.folder / "no-body") == 0
    wait_until(lambda: not unsettled(place), "all is told", SECONDS)
    assert not reap(client)
    assert (starts(place.folder / "error"), starts(mourned)) == (1, 1)


def test_a_worker_that_may_not_run_scripts_says_so_and_runs_nothing(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        place = make_place(tmp_path, server)
        write_claims_pack(place)
        app = place.client()
        app.main = "attune_tasks"
        with worker(place, "-c", "1", environ=EXPIRY):
            with server.client() as admin:
                admin.execute_command("ACL", "SETUSER", "default", "-evalsha")
            file = place.folder / "file"
            handle = Handle(app.signature(run_action.name, ("claims.quick", {"file": str(file)})).apply_async())
            wait_until(lambda: app.backend.get_state(handle.task_id) == states.FAILURE, "it ends")
            result = handle.result(SECONDS)
            assert (result.status, result.error and result.error["type"]) == ("error", "claim_failed")
            assert starts(file) == 0
    finally:
        server.stop()
