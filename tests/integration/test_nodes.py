"""pytest-celery's set-up over local processes: its published face works, and what it restarts recovers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from celery import Celery
from pytest_celery import CeleryTestSetup

from attune_tasks import ExecutionResult, enqueue
from tests.integration.packs import SECRETS
from tests.integration.surfaces import captured_commands, holds, read_redis
from tests.integration.workers import Place
from tests.nodes import RedisContainer, WorkerContainer
from tests.waiting import wait_until

SECONDS = 30
ALLOWED_SET_UP_SECONDS = 10


def adds(app: Celery) -> None:
    assert enqueue("work.add", {"a": 40}, app=app).result(timeout=SECONDS).result == 42


def test_the_set_up_is_ready_in_each_way_that_can_be_asked(celery_setup: CeleryTestSetup) -> None:
    assert len(celery_setup) == 3
    assert celery_setup.ready(ping=True, control=True, docker=True)
    assert celery_setup.worker.app is celery_setup.app
    assert list(celery_setup.app.control.ping(timeout=5, limit=1)[0]) == [celery_setup.worker.hostname()]


def test_the_set_up_took_less_than_ten_seconds(
    node_servers: dict[str, RedisContainer], node_worker: WorkerContainer
) -> None:
    seconds = [each.start_seconds for each in (*node_servers.values(), node_worker)]
    assert all(seconds)
    assert sum(seconds) < ALLOWED_SET_UP_SECONDS


def test_no_docker_is_asked_for_anything(
    celery_setup: CeleryTestSetup, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = set(request.fixturenames)
    assert {"celery_setup", "celery_worker_cluster", "node_worker"} <= asked
    assert [name for name in asked if "docker" in name or "network" in name or name.startswith("default_")] == []
    monkeypatch.setattr("docker.api.client.APIClient.__init__", lambda *_, **__: pytest.fail("Docker is asked for"))
    assert celery_setup.ready(ping=True, control=True, docker=True)


def test_an_action_runs_and_is_seen_in_the_workers_log(celery_setup: CeleryTestSetup) -> None:
    handle = enqueue("work.tell", app=celery_setup.app)
    assert handle.result(timeout=SECONDS).status == "succeeded"
    celery_setup.worker.assert_log_exists(f"execution {handle.execution_id} of work.tell starts")
    with pytest.raises(AssertionError, match="did not log"):
        celery_setup.worker.assert_log_exists("this was never said", timeout=1)
    for node in (celery_setup.broker, celery_setup.backend):
        stored = read_redis(node.container.client)
        assert stored
        assert [secret for secret in SECRETS.values() if holds(stored, secret)] == []
    assert handle.task_id.encode() in read_redis(celery_setup.backend.container.client)


def test_a_worker_that_is_restarted_takes_what_waits(celery_setup: CeleryTestSetup) -> None:
    before = celery_setup.worker.container.worker.process.pid
    celery_setup.worker.kill("SIGTERM")
    assert celery_setup.worker.container.status == "exited"
    handle = enqueue("work.add", {"a": 1}, app=celery_setup.app)
    assert handle.status() == "pending"
    celery_setup.worker.restart()
    assert celery_setup.worker.container.worker.process.pid != before
    assert handle.result(timeout=SECONDS).result == 3


def test_a_worker_that_was_killed_outright_serves_again_after_a_restart(celery_setup: CeleryTestSetup) -> None:
    celery_setup.worker.kill()
    assert celery_setup.worker.container.status == "exited"
    assert not celery_setup.worker.ready()
    celery_setup.worker.restart(force=True)
    assert celery_setup.ready(ping=True, control=True, docker=True)
    adds(celery_setup.app)


def test_what_a_test_has_killed_runs_for_the_next(celery_setup: CeleryTestSetup) -> None:
    assert celery_setup.ready(ping=True, control=True, docker=True)


def test_a_broker_that_is_restarted_loses_nothing_and_an_idle_worker_comes_back(celery_setup: CeleryTestSetup) -> None:
    adds(celery_setup.app)
    celery_setup.broker.restart()
    adds(celery_setup.app)
    celery_setup.worker.kill("SIGTERM")
    waiting = enqueue("work.add", {"a": 1}, app=celery_setup.app)
    celery_setup.broker.restart(force=True)
    celery_setup.worker.restart()
    assert waiting.result(timeout=SECONDS).result == 3


def test_a_result_backend_that_is_restarted_keeps_what_it_had_and_who_waits_is_told(
    celery_setup: CeleryTestSetup, node_place: Place, tmp_path: Path
) -> None:
    done = enqueue("work.add", {"a": 1}, app=celery_setup.app)
    assert done.result(timeout=SECONDS).result == 3
    running = enqueue("work.wait", {"until": str(tmp_path / "go")}, app=celery_setup.app)
    wait_until(lambda: running.status() == "running", "the start")
    celery_setup.backend.restart()
    assert done.status() == "succeeded"
    (tmp_path / "go").touch()
    assert running.result(timeout=SECONDS).status == "succeeded"


def test_who_waits_is_told_of_a_result_though_the_backends_news_of_it_were_lost(celery_setup: CeleryTestSetup) -> None:
    app, server = celery_setup.app, celery_setup.backend.container.client
    handle = enqueue("work.add", {"a": 1}, queue="nobody", app=app)
    key = app.backend.get_key_for_task(handle.task_id)
    stored = {"status": "SUCCESS", "result": ExecutionResult(handle.execution_id, "work.add", "succeeded").to_dict()}
    with ThreadPoolExecutor(1) as pool, captured_commands(server) as commands:
        waiting = pool.submit(handle.result, SECONDS)
        wait_until(lambda: any(b'"GET"' in each and key in each for each in commands), "the first look")
        server.set(key, app.backend.encode(stored | {"task_id": handle.task_id, "traceback": None, "children": []}))
        assert waiting.result(SECONDS).status == "succeeded"
