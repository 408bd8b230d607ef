"""What a worker shows of itself: launchers to those who ask, and nothing to other processes of its user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attune_tasks import enqueue
from attune_tasks._celery.workers_seen import ask_for_launchers
from attune_tasks.process._launcher import attune_tree
from tests.celery_worker import CeleryWorker, celery_worker_command, running_worker
from tests.integration.bare_root import GIVEN, ORDINARY_USER, in_bare_root
from tests.integration.workers import ROOT, Place, make_place, worker
from tests.processes import alive
from tests.redis_server import RedisServer
from tests.security.attacks import ATTEMPTS, attack_program
from tests.waiting import wait_until

SECONDS = 30
_TREE: Any = attune_tree  # it is not typed


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_the_launchers_of_each_pool_are_told_idle_and_busy(tmp_path: Path, pool: str) -> None:
    place = make_place(tmp_path)
    client = place.client()
    environ = {"DB_PASSWORD": "hunter2-hunter2"}
    with worker(place, "-P", pool, "-c", "2", environ=environ) as running:
        assert next(iter(ask_for_launchers(client).values())).launchers == ()
        enqueue("work.add", {"a": 1}, app=client).result(timeout=SECONDS)
        ((name, seen),) = ask_for_launchers(client).items()
        assert name.startswith("celery@")
        assert seen.credentials == ("DB_PASSWORD",)
        (launcher,) = seen.launchers
        assert (launcher.pack, launcher.busy) == ("work", False)
        assert launcher.pid in _TREE.walk([running.process.pid])
        if pool != "solo":  # which answers between executions only
            handle = enqueue("work.wait", {"until": str(tmp_path / "go")}, app=client)
            wait_until(
                lambda: any(each.busy for seen in ask_for_launchers(client).values() for each in seen.launchers),
                "a busy launcher",
            )
            (tmp_path / "go").touch()
            handle.result(timeout=SECONDS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Place:
    folder = tmp_path_factory.mktemp("undumpable")
    (folder / "given").mkdir()
    return make_place(folder / "given", redis_server)


@contextmanager
def ordinary_worker(place: Place, *arguments: str, **variables: str) -> Iterator[CeleryWorker]:
    """Run a worker as an ordinary user."""
    environ = {
        "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(ROOT),
        "ATTUNE_TASKS_PACKS": str(GIVEN / "packs"),
        "ATTUNE_TASKS_SECRETS__FILE__PATH": str(GIVEN / "secrets.yaml"),
        **place.urls,
        **variables,
    }
    folder = place.folder.parent
    command = in_bare_root(folder, celery_worker_command("attune_tasks.app", "-l", "DEBUG", *arguments))
    made = CeleryWorker(command, folder, environ, folder / "worker.log")
    with running_worker(made, "undumpable, of an ordinary user, broker: redis") as running:
        yield running


_LOOK = """\
for pid; do
    test -n "$(head -c 9 "/proc/$pid/environ" 2>/dev/null)" && echo environ
    test -n "$(head -c 9 "/proc/$pid/maps" 2>/dev/null)" && echo maps
    test -n "$(ls "/proc/$pid/fd" 2>/dev/null)" && echo fd
    test -n "$(readlink "/proc/$pid/exe" 2>/dev/null)" && echo exe
done
exit 0
"""


def seen_as_its_user(pids: list[int]) -> set[str]:
    """Give what another process of the worker's user can read of processes."""
    user = str(ORDINARY_USER)
    as_user = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] if os.geteuid() == 0 else []
    command = [*as_user, "sh", "-c", _LOOK, "sh", *map(str, pids)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.split())


def done_by_its_user(pids: list[int]) -> dict[int, dict[str, str]]:
    """Give what came of all that another process of the worker's user may try on processes which are still there."""
    interpreter = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_user = {"user": ORDINARY_USER, "group": ORDINARY_USER, "extra_groups": []}
    command = [interpreter, "-I", "-c", attack_program({str(pid): pid for pid in pids}, {})]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", timeout=SECONDS, **as_user)
    found, _, _ = json.loads(done.stdout)
    return {pid: found[str(pid)] for pid in pids if alive(pid)}


def worker_processes(running: CeleryWorker) -> list[int]:
    """Give the worker's main process and its pool processes, without launchers."""
    main = running.process.pid
    below = [pid for pid in _TREE.children_of(main) if b"celery" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return [main, *below]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-P", "prefork", "-c", "2"),
        ("-P", "prefork", "--autoscale", "3,1"),
        ("-P", "prefork", "-c", "1", "--max-memory-per-child", "1", "--max-tasks-per-child", "5"),
        ("-P", "threads", "-c", "2"),
        ("-P", "solo"),
    ],
)
def test_a_worker_works_and_shows_nothing_to_its_user(place: Place, arguments: tuple[str, ...]) -> None:
    client = place.client()
    with ordinary_worker(place, *arguments) as running:
        results = [enqueue("work.tell", app=client), enqueue("work.tell_shell", app=client)]
        assert [each.result(timeout=SECONDS).status for each in results] == ["succeeded"] * 2, running.log()
        processes = worker_processes(running)
        assert len(processes) >= (2 if "prefork" in arguments else 1)
        launchers = [each.pid for seen in ask_for_launchers(client).values() for each in seen.launchers]
        assert seen_as_its_user([*processes, *launchers]) == set()
        found = done_by_its_user([*processes, *launchers])  # without pool processes that were replaced meanwhile
        assert running.process.pid in found
        for outcomes in found.values():
            assert outcomes == dict.fromkeys(ATTEMPTS, "denied") | {"end": "possible"}
        if "prefork" in arguments:
            handle = enqueue("work.tell_slowly", app=client)
            wait_until(lambda: handle.status() == "running", "the start")
            assert handle.cancel(timeout=5).outcome == "cancelling"
            assert handle.result(timeout=SECONDS).status == "cancelled"
        (seen,) = ask_for_launchers(client).values()
        assert all(launcher.memory_kib > 0 for launcher in seen.launchers)


def test_the_look_sees_a_worker_that_is_not_closed(place: Place) -> None:
    with ordinary_worker(place, "-P", "prefork", "-c", "1", ATTUNE_TASKS_LAUNCHERS__UNDUMPABLE="false") as running:
        processes = worker_processes(running)
        assert seen_as_its_user(processes) == {"environ", "maps", "fd", "exe"}
        assert done_by_its_user(processes) == dict.fromkeys(processes, dict.fromkeys(ATTEMPTS, "possible"))
