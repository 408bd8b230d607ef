"""Real Celery workers as processes of our own: the one way in which the tests start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import celery

from tests.servers import used_server

__all__ = ["CeleryWorker", "celery_worker_command", "running_worker"]

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0
_READY: Final = " ready."


def celery_worker_command(app: str, *arguments: str) -> list[str]:
    """Give the command line of ``celery -A app worker``."""
    return [sys.executable, "-m", "celery", "-A", app, "worker", "--without-mingle", *arguments]


class CeleryWorker:
    """A worker, which leads a session and a process group of its own."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str], log_path: Path) -> None:
        """Start nothing yet. `environ` is all that the worker gets; `log_path` gets what it writes, each start's."""
        self.log_path = log_path
        self._command = command
        self._folder = folder
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The main process of the last start."""
        assert self._process
        return self._process

    def log(self) -> str:
        """Give its log so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def is_running(self) -> bool:
        """Tell whether the main process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.stop()  # pool processes may have outlived a main process that was killed
        before = len(self.log())
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while _READY not in self.log()[before:]:
            assert self.is_running(), self.log()[before:]
            assert time.monotonic() < deadline, self.log()[before:]
            time.sleep(0.02)

    def kill(self, number: int) -> None:
        """Send the main process a signal. One that ends it is waited for; its pool processes are another matter."""
        self.process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT, signal.SIGINT}:
            self.process.wait(_STOP_SECONDS)

    def stop(self) -> None:
        """End it: warm, and if need be by force; then what is left of its group."""
        if self._process is None:
            return
        if self.is_running():
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None


@contextmanager
def running_worker(worker: CeleryWorker, detail: str) -> Iterator[CeleryWorker]:
    """Start a worker, have it named at the end of the run with `detail`, and end it."""
    try:
        worker.start()
        used_server("celery worker", celery.__version__, detail)
        yield worker
    finally:
        worker.stop()
