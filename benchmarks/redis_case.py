"""The case that needs a Redis: an action end to end through Celery, against a task that calls bash itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from celery import Celery

if TYPE_CHECKING:
    from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[1]
_SECONDS = 30

# The user's project: both tasks in one worker, so that flags, broker, backend and pool processes are the same.
_PROJECT = """
import json
import os
import subprocess

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_URL"], backend=os.environ["BENCH_URL"], include=["attune_tasks.tasks"])


@app.task
def naive(month):
    secrets = json.loads(os.environ["BENCH_SECRETS"])
    variables = {f"SECRET_{name.upper()}": value for name, value in secrets.items()}
    done = subprocess.run(
        ["bash", os.environ["BENCH_SCRIPT"]],
        env={**os.environ, **variables, "PARAMETERS": json.dumps({"month": month})},
        capture_output=True,
        text=True,
        check=True,
    )
    return {"stdout": done.stdout, "exit_code": done.returncode}
"""


@contextmanager
def action_and_naive_task(
    packs: Path, secrets_file: Path, script: Path, secrets: str
) -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """Give enqueue-to-result of the action ``bench.shell``, and of a task that runs `script` by ``subprocess.run``.

    Starts a redis-server (without persistence, on the loopback interface) and a prefork worker with two processes.
    """
    from attune_tasks import enqueue
    from tests.redis_server import RedisServer

    with tempfile.TemporaryDirectory(prefix="attune-bench-redis-") as home:
        server = RedisServer(Path(home))
        url = server.url()
        Path(home, "bench_project.py").write_text(_PROJECT)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{home}",
            "BENCH_URL": url,
            "BENCH_SCRIPT": str(script),
            "BENCH_SECRETS": secrets,
            "ATTUNE_TASKS_PACKS": str(packs),
            "ATTUNE_TASKS_SECRETS__FILE__PATH": str(secrets_file),
        }
        with _started(server), _worker(home, environ):
            app = Celery("bench", broker=url, backend=url, include=["attune_tasks.tasks"], set_as_current=False)
            app.conf.attune_tasks = {"packs": [str(packs)]}
            app.finalize()
            _wait_for(app)
            naive = app.signature("bench_project.naive", ("2026-01",))

            def ours() -> object:
                result = enqueue("bench.shell", {"month": "2026-01"}, app=app).result(_SECONDS)
                if not result.succeeded:
                    raise RuntimeError(result.error)
                return result

            yield ours, lambda: naive.apply_async().get(_SECONDS)


@contextmanager
def _started(server: RedisServer) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


@contextmanager
def _worker(folder: str, environ: dict[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "celery", "-A", "bench_project", "worker", "-c", "2", "-l", "WARNING"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environ, cwd=folder, start_new_session=True, **quiet)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(app: Celery) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if app.control.ping(timeout=0.5):
            return
    msg = "the worker did not start"
    raise RuntimeError(msg)
