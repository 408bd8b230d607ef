"""leak-check on a real worker: its executions get canaries, who must not have one gets none, and nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attune_tasks import enqueue
from attune_tasks._celery.leaks.client import CheckOptions, RemoteCheck, find_worker
from attune_tasks._celery.leaks.controls import CONTROLS
from attune_tasks._celery.leaks.names import QUEUE_PREFIX, SCANNER_COMMAND
from attune_tasks.errors import AttuneTasksError
from attune_tasks.proc import below, read
from tests.celery_worker import CeleryWorker
from tests.integration.packs import SECRETS
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

WORKER = "checked@here"


@pytest.fixture(scope="module")
def checked(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Place, CeleryWorker]]:
    place = make_place(tmp_path_factory.mktemp("checked"), redis_server)
    environ = {"ATTUNE_TASKS_LEAK_CHECK__ENABLED": "true"}
    with worker(place, "-n", WORKER, "-c", "2", environ=environ) as running:
        yield place, running


def scanners(running: CeleryWorker) -> list[int]:
    """Give the scanners below a worker."""
    wanted = SCANNER_COMMAND.encode()
    return [each.pid for each in below(running.process.pid) if wanted in (read(each.pid, "cmdline") or [])]


def keys(place: Place) -> set[bytes]:
    """Give the names of what stands in Redis of a check's queues."""
    assert place.redis is not None
    with place.redis.client(place.database) as client:
        return {key for key in client.scan_iter(count=1000) if QUEUE_PREFIX.encode() in key}


def listening_at(pid: int) -> str:
    """Give the name of the socket at which a scanner listens, as /proc/net/unix writes it."""
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines():
        *_, state, inode, name = line.split()[-3:] if line.split()[-1].startswith("@") else ("", "", "")
        if f"socket:[{inode}]" in links and state == "01" and not name.endswith("-log"):
            return name
    raise AssertionError(links)


def test_canaries_of_each_runtime_end_as_they_should_and_nothing_is_left(checked: tuple[Place, CeleryWorker]) -> None:
    place, running = checked
    app = place.client()
    assert find_worker(app) == WORKER
    with RemoteCheck(app, WORKER, CheckOptions()) as check:
        assert len(scanners(running)) == 1
        assert check.controls == []
        with pytest.raises(AttuneTasksError, match=r"leak_check\.controls is off"):
            check.send_control(0, "a control", 10)
        ends = {ref: check.run(ref, timeout=60) for ref, _ in check.canaries}
        found = check.end()
    assert {runtime for _, runtime in check.canaries} == {"python", "python (exec)", "shell", "executable"}
    for ref, result in ends.items():
        assert result.status == ("failed" if ref.endswith("_fails") else "succeeded"), (ref, result.error)
        assert result.masked, ref
        assert [each.reference.split("#")[0] for each in result.receipts] == ["canary://leak-check"] * 2
        if ref.endswith("_shows"):
            assert set(result.masked) == {"canary", "canary_short"}
            assert result.result["core_dumps"] == 0
    assert not found.leaks
    wait_until(lambda: not scanners(running), "the scanner ends")
    wait_until(lambda: not keys(place), "the queue is gone")


def test_an_action_of_the_users_gets_canaries_and_really_gets_its_secrets_by_real(
    checked: tuple[Place, CeleryWorker],
) -> None:
    place, _ = checked
    app = place.client()
    with RemoteCheck(app, WORKER, CheckOptions()) as check:
        canaries = check.run("work.tell", timeout=60)
        real = check.run("work.tell", real=True, timeout=60)
    assert canaries.status == real.status == "succeeded"
    length = len(SECRETS["api_key"])
    assert canaries.result["length"] != length == real.result["length"]
    assert {each.reference for each in real.receipts} == {"work/api#api_key", "work/api#password"}
    assert set(canaries.masked) == set(real.masked) == {"api_key", "password"}


def test_a_scanner_hears_of_its_client_while_an_action_runs(
    checked: tuple[Place, CeleryWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = checked
    monkeypatch.setattr("attune_tasks._celery.leaks.client._WORD_SECONDS", 0.2)
    with RemoteCheck(place.client(), WORKER, CheckOptions()) as check:
        said: list[str] = []
        ask = check._ask

        def noted(op: str, **more: Any) -> dict[str, Any]:
            said.append(op)
            return ask(op, **more)

        monkeypatch.setattr(check, "_ask", noted)
        assert check.run("leak_check.python_shows", {"seconds": 1}, timeout=60).status == "succeeded"
    assert said[0] == "watch"
    assert "poll" in said


def test_what_comes_by_the_queue_unwatched_gets_no_secret(checked: tuple[Place, CeleryWorker]) -> None:
    place, _ = checked
    app = place.client()
    with RemoteCheck(app, WORKER, CheckOptions()) as check:
        ends = [enqueue(ref, queue=check._queue, app=app).result(60) for ref in (check.canaries[0][0], "work.tell")]
    for end in ends:
        assert end.error is not None
        assert (end.error["type"], end.status) == ("secrets_unavailable", "error")
        assert "does not watch" in end.error["message"]


def test_a_canary_that_comes_another_way_gets_no_secret(checked: tuple[Place, CeleryWorker]) -> None:
    place, _ = checked
    end = enqueue("leak_check.python_shows", app=place.client()).result(60)
    assert end.status == "error"
    assert end.error is not None
    assert "canary" in end.error["message"]


def test_a_scanner_answers_its_own_worker_only(checked: tuple[Place, CeleryWorker]) -> None:
    place, running = checked
    app = place.client()
    with RemoteCheck(app, WORKER, CheckOptions()) as check:
        check._ask("watch", ref="work.tell", execution_id="4711", task_id="x", real=False, refs={})
        name = listening_at(*scanners(running))
        request = {"op": "secrets", "execution_id": "4711", "names": ["api_key"], "action": "work.tell"}
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(10)
            stranger.connect("\0" + name[1:])
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # it hangs up
                stranger.sendall(json.dumps(request).encode() + b"\n")
                assert stranger.recv(100) == b""


def test_one_check_at_a_time_and_a_scanner_that_is_killed_leaves_nothing(checked: tuple[Place, CeleryWorker]) -> None:
    place, running = checked
    app = place.client()
    with RemoteCheck(app, WORKER, CheckOptions()) as check:
        with pytest.raises(AttuneTasksError, match="another check runs"), RemoteCheck(app, WORKER, CheckOptions()):
            pass
        (scanner,) = scanners(running)
        os.kill(scanner, signal.SIGKILL)
        wait_until(lambda: all(each.is_zombie for each in below(running.process.pid) if each.pid == scanner), "its end")
        with pytest.raises(AttuneTasksError, match="its scanner has ended"):
            check.run("work.tell", timeout=60)
        wait_until(lambda: not keys(place), "the queue is gone")
    with RemoteCheck(app, WORKER, CheckOptions()) as again:
        assert again.run("work.tell", timeout=60).status == "succeeded"


CHATTY = """
import logging
from celery.signals import task_received
from celery.utils.log import get_task_logger
logging.getLogger("celery.worker.strategy").setLevel(logging.ERROR)
logging.getLogger("celery.app.trace").setLevel(logging.ERROR)
logger = get_task_logger("chatty")
@task_received.connect(weak=False)
def tell(request, **_):
    logger.debug("a task is here: %s", request.name)
"""
"""Says a task's name below the level of the worker's log, by a logger of Celery's that does not propagate."""


def test_a_record_below_the_level_of_the_workers_log_is_looked_at_too(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    place = make_place(tmp_path, redis_server)
    (place.folder / "chatty.py").write_text(CHATTY, encoding="utf-8")
    environ = {"ATTUNE_TASKS_LEAK_CHECK__ENABLED": "true", "ATTUNE_TASKS_LEAK_CHECK__CONTROLS": "true"}
    (number,) = [at for at, control in enumerate(CONTROLS) if control.surface == "log"]
    with worker(place, "-n", WORKER, "-c", "1", "-l", "INFO", "-I", "chatty", environ=environ) as running:
        with RemoteCheck(place.client(), WORKER, CheckOptions(file_seconds=0.0)) as check:
            assert check.send_control(number, "a name", 60) == ""
            (row,) = [row for row in check.end().rows if row.surface == "log"]
        assert "a task is here" not in running.log()
        assert row.verdict == "LEAK", row
        assert {hit.where for hit in row.hits} == {f"log record of the process {running.process.pid}"}


def test_a_worker_that_does_not_take_part_says_so(redis_server: RedisServer, tmp_path: Path) -> None:
    place = make_place(tmp_path, redis_server)
    app = place.client()
    with pytest.raises(AttuneTasksError, match=r"no worker answered within 0\.2 s"):
        find_worker(app, timeout=0.2)
    with worker(place, "-P", "solo"):
        with pytest.raises(AttuneTasksError, match=r"leak_check\.enabled"):
            find_worker(app)
        end = enqueue("work.tell", queue="celery", app=app).result(60)
    assert end.status == "succeeded"
