"""A real PostgreSQL server for the tests, as a process of our own: on the loopback interface, with no password."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from tests.servers import used_server
from tests.vault import free_port

__all__ = ["PostgresServer", "running_postgres"]

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0
_USER: Final = "site"


class PostgresServer:
    """One server with a database of its own. It refuses to be root, and so is another user where the tests are."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet. `folder` gets its data and its log."""
        self.port = free_port()
        self._folder = folder
        self._programs = _programs()
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody")  # one that has a name: initdb asks for it
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Give the entry of Django's DATABASES."""
        address = {"HOST": "127.0.0.1", "PORT": self.port, "NAME": "postgres", "USER": _USER}
        return {"ENGINE": "django.db.backends.postgresql", **address, "OPTIONS": {"connect_timeout": 5}}

    def connection(self) -> psycopg.Connection:
        """Give a connection, for the tests' own doings."""
        return psycopg.connect(host="127.0.0.1", port=self.port, dbname="postgres", user=_USER, autocommit=True)

    def make(self) -> None:
        """Make its data."""
        options = ["--username", _USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        command = [str(self._programs / "initdb"), "--pgdata", str(self._folder / "data"), *options]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self._folder, env=self._environ(), check=False, **self._as
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            said = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once, as a crash does: clients lose their connections, and what was committed is there."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_STOP_SECONDS)

    def version(self) -> str:
        """Give the server's version."""
        with self.connection() as connection:
            return str(connection.info.parameter_status("server_version")).split()[0]

    def _answers(self) -> bool:
        try:
            self.connection().close()
        except psycopg.OperationalError:
            return False
        return True

    def _environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self._folder), "TZ": "UTC"}


def _programs() -> Path:
    """Find the newest server: Debian keeps its programs off the PATH."""
    found = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    whole = [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]
    if not whole:
        pytest.fail("the tests need a PostgreSQL server: run tools/ensure-test-tools", pytrace=False)
    return whole[-1]


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server; nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="attune-tasks-postgres-"))  # the tests' own folders are closed to others
    try:
        server = PostgresServer(folder)
        server.make()
        server.start()
        used_server("postgresql", server.version(), "a Django project's")
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
