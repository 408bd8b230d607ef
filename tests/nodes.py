"""pytest-celery's nodes without Docker: what they ask of a container, over processes of our own.

A node needs little of its container: to be ready, to have a log, to be killed and restarted. The processes live as long
as the run of the tests; each test gets nodes of its own over them, and finds them running.
"""

from __future__ import annotations

import secrets
import signal
import time
from typing import Any, Final, Protocol

import celery

from tests.celery_worker import CeleryWorker
from tests.redis_server import RedisServer

__all__ = ["PING_TASKS", "LocalContainer", "RedisContainer", "WorkerContainer"]

PING_TASKS: Final = "pytest_celery.vendors.worker.tasks"
"""The module that a worker includes (``-I``) so that ``ready(ping=True)`` has a task to call."""


class _Process(Protocol):
    def is_running(self) -> bool: ...
    def log(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self, number: int) -> None: ...


class LocalContainer:
    """The face of a container over one process, which is another one after a restart."""

    def __init__(self, name: str, process: _Process) -> None:
        """Start nothing yet."""
        self.id = secrets.token_hex(6)
        self.name = f"{name}-{self.id}"
        self.start_seconds = 0.0
        """How long the last start took."""
        self._process = process

    @property
    def status(self) -> str:
        """Docker's word for how it stands."""
        return "running" if self._process.is_running() else "exited"

    def ready(self) -> bool:
        """Tell whether it serves: a start waits until it does."""
        return self._process.is_running()

    def logs(self) -> str:
        """Give what it wrote so far, over all starts."""
        return self._process.log()

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Send its main process a signal, by name or number. Unlike a container's, its other processes live on."""
        self._process.kill(_number(signal))

    def restart(self, timeout: float = 10) -> None:  # noqa: ARG002 - Docker's; our processes have their own
        """End what runs, and start again, at the same address."""
        self._process.stop()
        self.start()

    def reload(self) -> None:
        """Do nothing: nothing is remembered here that could be stale."""

    def teardown(self) -> None:
        """Do nothing: the process outlives a test."""

    def start(self) -> None:
        """Start it unless it runs."""
        if not self._process.is_running():
            began = time.monotonic()
            self._process.start()
            self.start_seconds = time.monotonic() - began

    def stop(self) -> None:
        """End it for good."""
        self._process.stop()


class RedisContainer(LocalContainer):
    """A Redis server."""

    def __init__(self, name: str, server: RedisServer) -> None:
        """Start nothing yet."""
        super().__init__(name, server)
        self._server = server

    @property
    def client(self) -> Any:
        """Give a client of the server."""
        return self._server.client()

    @property
    def celeryconfig(self) -> dict[str, Any]:
        """Say where it is."""
        url = self._server.url()
        return {"url": url, "host_url": url, "hostname": "127.0.0.1", "port": self._server.port, "vhost": "0"}


class WorkerContainer(LocalContainer):
    """A Celery worker, whose name (``-n``) is :attr:`nodename`."""

    def __init__(self, worker: CeleryWorker, node_id: str, queue: str = "celery") -> None:
        """Start nothing yet. `node_id` is what stands after the @ in its name."""
        super().__init__("worker", worker)
        self.id = node_id
        self.worker = worker
        self._queue = queue

    @property
    def nodename(self) -> str:
        """Its name in events and control commands."""
        return f"{self.worker_name()}@{self.id}"

    def version(self) -> str:
        """Give Celery's version."""
        return str(celery.__version__)

    def log_level(self) -> str:
        """Give the level of its log."""
        return "DEBUG"

    def worker_name(self) -> str:
        """Give what stands before the @ in its name."""
        return "worker"

    def worker_queue(self) -> str:
        """Give the queue from which it takes tasks."""
        return self._queue


def _number(given: str | int) -> int:
    return signal.Signals[given] if isinstance(given, str) else given
