"""Real Redis servers for the tests: one that is shared, and others which a test may stop, pause and fill."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import redis

from tests.servers import used_server
from tests.vault import free_port

__all__ = ["RedisServer", "redis_server"]

_START_SECONDS: Final = 15.0
_STOP_SECONDS: Final = 10.0
_DATABASES: Final = 1000


class RedisServer:
    """A server as a process of our own, on the loopback interface."""

    def __init__(self, folder: Path, *, durable: bool = False, tls: bool = False, settable: bool = False) -> None:
        """Start nothing yet. `folder` gets its log and, where it is to be `durable`, its data.

        With `tls` it speaks nothing but TLS, by a certificate of its own: `ca_file`. The clock of a `settable` one can
        be set (:meth:`set_clock`): settable_clock.c stands between it and the system's.
        """
        self.port = free_port()
        self.log_path = folder / "redis.log"
        self.folder = folder
        # Never written anew: a test reads there what has happened.
        durably = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]
        kept = durably if durable else ["--appendonly", "no"]
        self.ca_file = folder / "redis.crt"
        self._tls = tls
        self._clock = folder / "redis.clock" if settable else None
        ports = ["--port", str(self.port)]
        if tls:
            key = folder / "redis.key"
            request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
            files = ["-keyout", str(key), "-out", str(self.ca_file)]
            subprocess.run(["openssl", *request, *names, *files], check=True, capture_output=True)
            own = ["--tls-cert-file", str(self.ca_file), "--tls-key-file", str(key), "--tls-ca-cert-file"]
            ports = ["--port", "0", "--tls-port", str(self.port), *own, str(self.ca_file), "--tls-auth-clients", "no"]
        self._arguments = ["--bind", "127.0.0.1", *ports, "--save", "", "--dir", str(folder), *kept]
        self._arguments += ["--databases", str(_DATABASES)]
        self._free = iter(range(1, _DATABASES))
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        """Give the address of one of its databases."""
        if self._tls:
            return f"rediss://127.0.0.1:{self.port}/{database}?ssl_cert_reqs=required&ssl_ca_certs={self.ca_file}"
        return f"redis://127.0.0.1:{self.port}/{database}"

    def new_database(self) -> int:
        """Give the number of a database that nobody has used yet."""
        return next(self._free)

    def client(self, database: int = 0) -> redis.Redis:
        """Give a client, for the tests' own doings."""
        return redis.Redis.from_url(self.url(database), socket_timeout=10)

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process
        return self._process.pid

    def set_clock(self, ahead: int) -> None:
        """Have its clock jump, to `ahead` seconds before the system's; behind it where that is negative."""
        assert self._clock is not None
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:  # it is mapped into the server
            file.write(struct.pack("=q", ahead))

    def is_running(self) -> bool:
        """Tell whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """Give its log so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def kill(self, number: int) -> None:
        """Send the process a signal, and wait for its end where the signal ends it."""
        assert self._process
        self._process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM, signal.SIGINT}:
            self._process.wait(_STOP_SECONDS)

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("the tests need redis-server: run tools/ensure-test-tools", pytrace=False)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [program, *self._arguments],
                env={"PATH": os.environ["PATH"], **self._clock_environ()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self.log_path.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, self.log_path.read_text(encoding="utf-8")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, paused or not."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it take connections, and answer nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def note(self, detail: str) -> None:
        """Have it named at the end of the run."""
        with self.client() as client:
            used_server("redis", client.info("server")["redis_version"], detail)

    def _clock_environ(self) -> dict[str, str]:
        if self._clock is None:
            return {}
        library, source = self.folder / "settable_clock.so", Path(__file__).with_name("settable_clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source], check=True)
        self.set_clock(0)
        return {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._clock)}

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server that all tests of this process share; each takes an app name or a database of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    try:
        server.note("broker and result backend")
        yield server
        gc.collect()  # results tell the server when they go
    finally:
        server.stop()
