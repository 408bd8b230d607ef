"""Other pools, a user's own app, and the starts that a worker refuses."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from attune_tasks import enqueue
from tests.celery_worker import celery_worker_command
from tests.integration.workers import Place, make_place, worker
from tests.waiting import wait_until

OWN_APP = """\
from pathlib import Path
from celery import Celery
from attune_tasks._celery.embedded import embedded_config

app = Celery("mine", include=["attune_tasks.tasks"])
app.conf.update(embedded_config(Path("state/attune-tasks/embedded")))
app.conf.attune_tasks = {"packs": ["packs"], "routes": {"work.add": "sums"}}

@app.task(name="mine.double")
def double(number):
    return 2 * number
"""


@pytest.fixture
def own_place(tmp_path: Path) -> Place:
    """Give a place of this test alone."""
    return make_place(tmp_path)


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_the_threads_and_solo_pools_run_actions(own_place: Place, pool: str) -> None:
    client = own_place.client()
    with worker(own_place, "-P", pool, "-c", "2"):
        handles = [enqueue("work.tell", {"fail": number % 2 == 1}, app=client) for number in range(4)]
        results = [handle.result(timeout=30) for handle in handles]
        assert [result.status for result in results] == ["succeeded", "failed"] * 2
        assert enqueue("work.late", app=client).result(timeout=30).status == "timed_out"
        assert enqueue("work.interrupt", app=client).result(timeout=30).signal == "SIGINT"


def test_include_brings_the_task_into_an_app_of_ones_own(own_place: Place) -> None:
    (own_place.folder / "mine.py").write_text(OWN_APP, encoding="utf-8")
    client = own_place.client()
    path = {"PYTHONPATH": f"{own_place.folder}{os.pathsep}{own_place.environ()['PYTHONPATH']}"}
    with worker(own_place, "-P", "prefork", "-c", "1", "-Q", "sums,celery", app="mine", environ=path):
        assert enqueue("work.add", {"a": 1}, queue="sums", app=client).result(timeout=30).result == 3
        assert client.send_task("mine.double", args=[21]).get(timeout=30) == 42


def test_a_warm_stop_lets_the_running_execution_end_and_gives_back_what_has_not_begun(own_place: Place) -> None:
    client = own_place.client()
    with worker(own_place, "-P", "prefork", "-c", "1") as running:
        handle = enqueue("work.wait", {"until": str(own_place.folder / "go")}, app=client)
        wait_until(lambda: handle.status() == "running", "the execution's start")
        waiting = enqueue("work.add", {"a": 1}, countdown=4, app=client)
        wait_until(lambda: f"[{waiting.task_id}] received" in running.log(), "the receipt")
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Warm shutdown" in running.log(), "the stop")
        (own_place.folder / "go").touch()
        assert handle.result(timeout=30).status == "succeeded"
        assert running.process.wait(15) == 0
    assert waiting.status() == "pending"
    with worker(own_place, "-P", "solo", "-c", "1"):
        assert waiting.result(timeout=30).status == "succeeded"


def start(place: Place, *arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Start a worker that ends by itself."""
    return subprocess.run(
        celery_worker_command("attune_tasks.app", "-l", "INFO", *arguments),
        cwd=place.folder,
        env=place.environ() | (environ or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_a_green_pool_is_refused_in_one_line(own_place: Place, pool: str) -> None:
    done = start(own_place, "-P", pool)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"attune_tasks can't run in the {pool} pool, which can't wait for child processes: use prefork, threads or solo"
    )
    assert done.stderr.count("attune_tasks") == 1
    assert "Traceback" not in done.stderr
    assert " ready." not in done.stderr + done.stdout


def test_a_broken_pack_stops_the_worker_with_its_faults(own_place: Place) -> None:
    (own_place.packs / "work" / "actions" / "add.yaml").write_text("ref: work.add\nrunner: x\n", encoding="utf-8")
    done = start(own_place, "-P", "prefork")
    assert done.returncode == 1
    assert "the worker is not started: " in done.stderr
    assert "add.yaml:2: runner: unknown" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_setting_stops_the_worker(own_place: Place) -> None:
    done = start(own_place, "-P", "prefork", environ={"ATTUNE_TASKS_TIMEOUTS": "3"})
    assert done.returncode != 0
    assert "ATTUNE_TASKS_TIMEOUTS" in done.stderr + done.stdout
