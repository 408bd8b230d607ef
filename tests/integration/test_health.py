"""A real worker is judged by what it takes from its queue, whatever it answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attune_tasks import enqueue
from attune_tasks._celery.health.note import HealthNote, read_note
from tests.celery_worker import CeleryWorker
from tests.integration.workers import Place, make_place, worker
from tests.processes import children
from tests.redis_server import RedisServer
from tests.waiting import wait_until


def health(place: Place, file: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "attune_tasks.cli", "health", "--file", str(file), *arguments],
        cwd=place.folder,
        env=place.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def note_of(file: Path) -> HealthNote:
    note = read_note(file)
    assert note
    return note


@contextmanager
def noting(place: Place, *arguments: str) -> Iterator[tuple[CeleryWorker, Path]]:
    file = place.folder / "health"
    with worker(place, *arguments, environ={"ATTUNE_TASKS_HEALTH_FILE": str(file)}) as running:
        yield running, file


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_answers_pings_and_takes_nothing_is_unhealthy(
    pool: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    place = make_place(tmp_path, redis_server)
    with noting(place, "-P", pool, "-c", "1") as (_, file):
        client = place.client()
        assert health(place, file) == (0, "healthy: nothing waits in its queues\n")
        client.control.cancel_consumer("celery", reply=True, timeout=5)
        handle = enqueue("work.add", {"a": 1}, app=client)
        assert client.control.ping(timeout=5), "it is answering"
        code, text = health(place, file, "--seconds", "3")
        assert code == 1
        assert "unhealthy: 1 messages wait in celery, 1 of 1 slots are free, and the worker has taken nothing" in text
        client.control.add_consumer("celery", reply=True, timeout=5)
        handle.result(30)
        assert health(place, file)[0] == 0


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_worker_whose_slots_are_all_taken_is_healthy_whatever_waits(
    pool: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    place = make_place(tmp_path, redis_server)
    with noting(place, "-P", pool, "-c", "1") as (_, file):
        client = place.client()
        done = tmp_path / "done"
        sent = [enqueue("work.wait", {"until": str(done)}, app=client) for _ in range(4)]
        wait_until(lambda: note_of(file).busy == 1, "its slot is taken")
        code, text = health(place, file, "--seconds", "1")
        assert code == 0, text
        assert "taken" in text
        done.touch()
        for handle in sent:
            handle.result(60)


def test_a_worker_whose_loop_hangs_is_unhealthy(tmp_path: Path, redis_server: RedisServer) -> None:
    place = make_place(tmp_path, redis_server)
    with noting(place, "-c", "1") as (running, file):
        note = note_of(file)
        wait_until(lambda: note_of(file).at > note.at, "it notes again and again")
        running.process.send_signal(signal.SIGSTOP)
        try:
            code = 0

            def says_so() -> bool:
                nonlocal code
                code, text = health(place, file, "--seconds", "0")
                return "has noted nothing for" in text

            wait_until(says_so, "it has noted nothing for long", seconds=60)
            assert code == 1
        finally:
            running.process.send_signal(signal.SIGCONT)


def test_a_pool_that_hangs_makes_its_worker_unhealthy(tmp_path: Path, redis_server: RedisServer) -> None:
    place = make_place(tmp_path, redis_server)
    with noting(place, "-c", "1") as (running, file):
        (pool_process,) = [pid for pid in children(running.process.pid) if is_pool_process(pid)]
        os.kill(pool_process, signal.SIGSTOP)
        try:
            client = place.client()
            for number in range(6):
                enqueue("work.add", {"a": number}, app=client)
            wait_until(lambda: note_of(file).received > 0, "it has taken the first ones")
            wait_until(lambda: health(place, file, "--seconds", "3")[0] == 1, "it takes no more", seconds=60)
        finally:
            os.kill(pool_process, signal.SIGCONT)


def is_pool_process(pid: int) -> bool:
    return b"celery" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_what_the_broker_is_to_blame_for_is_not_the_workers_fault(tmp_path: Path, redis_server: RedisServer) -> None:
    place = make_place(tmp_path, redis_server)
    with noting(place, "-c", "1") as (_, file):
        away = Place(place.folder, place.packs, place.secrets, place.redis, broker="redis://127.0.0.1:1/0")
        assert health(away, file) == (
            0,
            "healthy: the broker can't be reached, so nothing can be said of the worker\n",
        )


def test_without_a_worker_there_is_nothing_healthy(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    assert health(place, tmp_path / "away") == (
        1,
        f"attune-tasks: unhealthy: no worker notes in {tmp_path / 'away'}\n",
    )
