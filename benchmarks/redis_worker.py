"""A real worker over a real Redis, with our actions and naive tasks that call the child themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery

from benchmarks.workspace import SECRETS, Bench

if TYPE_CHECKING:
    from tests.redis_server import RedisServer

__all__ = ["redis_worker"]

_SECONDS = 30

# The user's project: all tasks in one worker, so that flags, broker, backend and pool processes are the same.
_PROJECT = """
import json
import os
import subprocess
import sys

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_URL"], backend=os.environ["BENCH_URL"], include=["attune_tasks.tasks"])


def output_of(command, month):
    secrets = json.loads(os.environ["BENCH_SECRETS"])
    variables = {f"SECRET_{name.upper()}": value for name, value in secrets.items()}
    return subprocess.run(
        command,
        env={**os.environ, **variables, "PARAMETERS": json.dumps({"month": month})},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@app.task
def naive_python(month):
    return json.loads(output_of([sys.executable, os.environ["BENCH_FOLDER"] + "/naive.py"], month))


@app.task
def naive_shell(month):
    return {"stdout": output_of(["bash", os.environ["BENCH_FOLDER"] + "/naive.sh"], month)}
"""


@contextmanager
def redis_worker(bench: Bench, settings: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[tuple[Celery, int]]:
    """Start a redis-server and a prefork worker with two processes; give a client's app, and the worker's pid.

    `settings`, by group and name, are those of the worker and of the client. The server keeps nothing on disk and
    listens on the loopback interface. Both end with the context.
    """
    from tests.redis_server import RedisServer

    with tempfile.TemporaryDirectory(prefix="attune-bench-redis-") as home:
        server = RedisServer(Path(home))
        url = server.url()
        Path(home, "bench_project.py").write_text(_PROJECT)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "BENCH_URL": url,
            "BENCH_FOLDER": str(bench.folder),
            "BENCH_SECRETS": json.dumps(SECRETS),
            "ATTUNE_TASKS_PACKS": str(bench.packs),
            "ATTUNE_TASKS_SECRETS__FILE__PATH": str(bench.secrets_file),
            **_variables(settings or {}),
        }
        with _started(server), _worker(home, environ) as pid:
            app = Celery("bench", broker=url, backend=url, include=["attune_tasks.tasks"], set_as_current=False)
            app.conf.attune_tasks = {"packs": [str(bench.packs)], **(settings or {})}
            app.finalize()
            _wait_for(app)
            yield app, pid


def _variables(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {
        f"ATTUNE_TASKS_{group}__{name}".upper(): json.dumps(value)
        for group, values in settings.items()
        for name, value in values.items()
    }


@contextmanager
def _started(server: RedisServer) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


@contextmanager
def _worker(folder: str, environ: dict[str, str]) -> Iterator[int]:
    command = [sys.executable, "-m", "celery", "-A", "bench_project", "worker", "-c", "2", "-l", "WARNING"]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environ, cwd=folder, start_new_session=True, **quiet)
    try:
        yield process.pid
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
