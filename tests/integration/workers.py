"""Real Celery workers as processes of their own, and apps to talk to them with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from celery import Celery

from attune_tasks._celery.embedded import embedded_config
from tests.integration.packs import write_packs, write_secrets

__all__ = ["ROOT", "Place", "RunningWorker", "make_place", "wait_until", "worker"]

ROOT: Final = Path(__file__).parents[2]
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Look until `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Place:
    """A folder with packs and secrets in it, and the embedded broker's data of one test."""

    folder: Path
    packs: Path
    secrets: Path

    @property
    def embedded(self) -> Path:
        """Where the ready-made app finds its broker, given :meth:`environ`."""
        return self.folder / "state" / "attune-tasks" / "embedded"

    def environ(self) -> dict[str, str]:
        """Give the whole environment of a worker."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "ATTUNE_TASKS_PACKS": str(self.packs),
            "ATTUNE_TASKS_SECRETS__FILE__PATH": str(self.secrets),
            "ATTUNE_TASKS_GRACE": "1",
            # Branches that only a worker goes through are measured, too.
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }

    def client(self) -> Celery:
        """Make an app like a user's own, on the same broker."""
        app = Celery("client", set_as_current=False)
        app.conf.update(embedded_config(self.embedded), task_send_sent_event=True)
        app.conf.attune_tasks = {"packs": [str(self.packs)]}
        app.finalize()
        return app


def make_place(folder: Path) -> Place:
    """Fill `folder`."""
    return Place(folder, write_packs(folder), write_secrets(folder))


@dataclass(frozen=True)
class RunningWorker:
    """A worker that is ready."""

    process: subprocess.Popen[bytes]
    log_path: Path

    def log(self) -> str:
        """Give its log so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")


@contextmanager
def worker(
    place: Place, *arguments: str, app: str = "attune_tasks.app", environ: Mapping[str, str] | None = None
) -> Iterator[RunningWorker]:
    """Run ``celery -A app worker`` with DEBUG log and events; end it, and its whole session, by its pid."""
    log_path = place.folder / "worker.log"
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-l", "DEBUG", "-E", "--without-mingle", *arguments]
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=place.folder,
            env=place.environ() | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = RunningWorker(process, log_path)
    try:
        wait_until(
            lambda: " ready." in running.log() or process.poll() is not None, "the worker's start", _START_SECONDS
        )
        assert process.poll() is None, running.log()
        yield running
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
