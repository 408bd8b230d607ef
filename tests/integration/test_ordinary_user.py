"""A worker of an ordinary user with no home and no name, a read-only file system but for /tmp, and umask 077."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from celery import Celery

from attune_tasks import enqueue
from tests.celery_worker import CeleryWorker, celery_worker_command, running_worker
from tests.integration.bare_root import GIVEN, ORDINARY_USER, in_bare_root
from tests.integration.packs import SECRETS
from tests.integration.surfaces import holds
from tests.integration.workers import ROOT, make_place
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SECONDS = 30
LOOK = """\
import os
for path in ("/new", "/usr/new", "/etc/new", "/srv/given/new", os.environ["PYTHONPATH"] + "/new", "/tmp/new"):
    try:
        open(path, "w").close()
    except OSError as error:
        print(path, error.strerror)
    else:
        print(path, oct(os.stat(path).st_mode & 0o777))
print(os.getuid(), os.getgid(), os.environ.get("HOME"))
"""


@dataclass(frozen=True)
class Setup:
    """A worker in there, and an app out here."""

    worker: CeleryWorker
    client: Celery


def environ() -> dict[str, str]:
    """Give the whole environment of what runs in there: no HOME is in it."""
    return {
        "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(ROOT),
        "ATTUNE_TASKS_PACKS": str(GIVEN / "packs"),
        "ATTUNE_TASKS_SECRETS__FILE__PATH": str(GIVEN / "secrets.yaml"),
    }


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    (folder / "given").mkdir(exist_ok=True)
    return subprocess.run(
        in_bare_root(folder, command),
        env=environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module", params=["prefork", "threads"])
def setup(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("ordinary-user")
    (folder / "given").mkdir()
    place = make_place(folder / "given", redis_server)
    command = celery_worker_command("attune_tasks.app", "-l", "DEBUG", "-P", request.param, "-c", "2")
    worker = CeleryWorker(in_bare_root(folder, command), folder, environ() | place.urls, folder / "worker.log")
    with running_worker(worker, f"{request.param}, of an ordinary user, broker: redis") as running:
        yield Setup(running, place.client())


def test_only_tmp_can_be_written_in_there_and_the_user_is_nobody(tmp_path: Path) -> None:
    done = run(tmp_path, sys.executable, "-c", LOOK)
    *refused, written, who = done.stdout.splitlines()
    assert len(refused) == 5, done.stderr
    assert all(line.endswith("Read-only file system") for line in refused)
    assert (written, who) == ("/tmp/new 0o600", f"{ORDINARY_USER} {ORDINARY_USER} None")


@pytest.mark.parametrize("ref", ["work.tell", "work.tell_shell", "work.tell_executable"])
def test_actions_of_each_runtime_succeed_and_fail_as_elsewhere(setup: Setup, ref: str) -> None:
    handles = [enqueue(ref, {"fail": fail}, app=setup.client) for fail in (False, True)]
    results = [handle.result(timeout=SECONDS) for handle in handles]
    assert [result.status for result in results] == ["succeeded", "failed"], [result.error for result in results]
    assert all("***" in result.stdout for result in results)


def test_an_action_that_takes_too_long_is_timed_out(setup: Setup) -> None:
    assert enqueue("work.late", app=setup.client).result(timeout=SECONDS).status == "timed_out"


def test_nothing_stays_in_tmp_and_the_worker_ends_cleanly(setup: Setup) -> None:
    assert enqueue("work.add", {"a": 1}, app=setup.client).result(timeout=SECONDS).result == 3
    process = setup.worker.process
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    assert f"Uid:\t{os.geteuid() or ORDINARY_USER}\t" in status
    assert "Umask:\t0077" in status

    def left() -> list[str]:
        names = [path.name for path in Path(f"/proc/{process.pid}/root/tmp").iterdir()]
        return [name for name in names if not name.startswith("pymp-")]  # that one is billiard's, while it runs

    wait_until(lambda: not left(), "an idle worker has nothing there")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    log = setup.worker.log()
    setup.worker.start()  # for the tests after this one
    assert "Traceback" not in log
    assert "Warm shutdown" in log
    assert [secret for secret in SECRETS.values() if holds(log.encode(), secret)] == []


def test_the_embedded_broker_goes_to_tmp(tmp_path: Path) -> None:
    code = "from attune_tasks.app import app; print(app.conf.broker_transport_options['folder'])"
    done = run(tmp_path, sys.executable, "-c", code)
    assert done.stdout == f"/tmp/attune-tasks-{ORDINARY_USER}/broker\n", done.stderr


def test_the_command_line_runs_an_action(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    make_place(tmp_path / "given")
    done = run(tmp_path, sys.executable, "-m", "attune_tasks.cli", "run", "work.tell_shell")
    assert done.returncode == 0, done.stderr
    assert "***" in done.stdout + done.stderr
