"""A real RabbitMQ node for the tests: a process of our own, with its own data, cookie, ports and port mapper."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from kombu import Connection

from tests.servers import used_server
from tests.vault import free_port

__all__ = ["RabbitServer", "rabbitmq_server"]

# Debian's command on the PATH changes to another user and to its data; this one does as its environment says.
_PROGRAM: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0


class RabbitServer:
    """One node, on the loopback interface alone."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet. `folder` gets its data, its logs and its cookie."""
        self.url = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
        self.log_path = folder / "rabbitmq.log"
        self._folder = folder
        self._mapper_port = free_port()
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the port mapper and the node, and wait until it takes connections."""
        mapper = shutil.which("epmd")
        if mapper is None or not os.access(_PROGRAM, os.X_OK):
            pytest.fail("the tests need rabbitmq-server: run tools/ensure-test-tools", pytrace=False)
        # In the foreground, so that it can be ended: the node would start one that stays for ever.
        self._mapper = self._popen(mapper, "-port", str(self._mapper_port), "-address", "127.0.0.1")
        self._process = self._popen(_PROGRAM)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self.log_path.read_text(encoding="utf-8", errors="replace")
            assert time.monotonic() < deadline, self.log_path.read_text(encoding="utf-8", errors="replace")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the node, then the port mapper."""
        for process in (self._process, self._mapper):
            if process is None:
                continue
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the node is a child of a shell script
            process.wait()
        self._process = self._mapper = None

    def note(self, detail: str) -> None:
        """Have it named at the end of the run."""
        with Connection(self.url) as connection:
            connection.connect()
            raw: Any = connection.connection
            used_server("rabbitmq", raw.server_properties["version"], detail)

    def _popen(self, *command: str) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environ(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # of the cookie
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": "tests@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.url.rpartition(":")[2].rstrip("/"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-such.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "no-such"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2 +sbwt none",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=5) as connection:
                connection.connect()
                return True
        except OSError:
            return False


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """Give a node that all tests of this process share."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        server.note("broker, quorum queue")
        yield server
    finally:
        server.stop()
