"""A Docker engine for these tests: the one at hand, or one of our own, with its own folder and socket.

An engine of our own is ended at the end, and all that it made removed: it is not that of the machine, which others
use. With ``ATTUNE_TASKS_TEST_DOCKER_ROOT`` set to a folder, it is made there, and its images stay for the next time.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["Engine", "running_engine"]

ROOT_VARIABLE: Final = "ATTUNE_TASKS_TEST_DOCKER_ROOT"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 60.0


class Engine:
    """An engine that answers, and the way to ask it."""

    def __init__(self, address: str, *, own: bool) -> None:
        """Take an engine that is there; `address` is empty for that of the client's own settings."""
        self.address = address
        self.own = own

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a client. BuildKit is left out: Debian's engine brings none."""
        return {
            **os.environ,
            **({"DOCKER_HOST": self.address} if self.address else {}),
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
        }

    def docker(
        self, *arguments: str, seconds: float = 60.0, check: bool = True, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker``, to its end; `text` is its standard input."""
        done = subprocess.run(
            [client_command(), *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            input=text,
            check=False,
        )
        assert not check or done.returncode == 0, f"docker {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done

    def version(self) -> str:
        """Say which engine it is."""
        return self.docker("version", "--format", "{{.Server.Version}}").stdout.strip()

    def has_image(self, name: str) -> bool:
        """Tell whether an image is there."""
        return self.docker("image", "inspect", name, check=False).returncode == 0


def client_command() -> str:
    """Give the client: Debian's own before another one on the PATH, for it fits Debian's engine."""
    debians = Path("/usr/bin/docker")
    return str(debians) if debians.exists() else "docker"


@contextmanager
def running_engine() -> Iterator[Engine]:
    """Give the engine at hand; where none answers, one of our own, for as long as the tests run. That needs root."""
    at_hand = Engine("", own=False)
    try:
        answers = at_hand.docker("version", check=False, seconds=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        answers = False
    if answers:
        yield at_hand
        return
    assert os.geteuid() == 0, "no Docker engine answers, and only root can start one: start it, or run this as root"
    kept = os.environ.get(ROOT_VARIABLE)
    root = Path(kept or tempfile.mkdtemp(prefix="attune-docker-", dir="/var/tmp"))  # /tmp may be memory
    root.mkdir(parents=True, exist_ok=True)
    try:
        with _own_engine(root) as engine:
            yield engine
    finally:
        if not kept:
            shutil.rmtree(root, ignore_errors=True)
            assert not root.exists(), f"{root} could not be removed"


@contextmanager
def _own_engine(root: Path) -> Iterator[Engine]:
    address = f"unix://{root}/docker.sock"
    command: list[Any] = [
        *("nice", "-n", "19"),
        *("setpriv", "--pdeathsig", "TERM"),  # it ends with the tests, also where those are killed
        "dockerd",
        "--iptables=false",  # the machine's rules are not ours; containers of one network reach each other without
        "--ip6tables=false",
        "--bridge=none",  # compose and the tests make networks of their own, and remove them
        "--data-root",
        root / "data",
        "--exec-root",
        root / "exec",
        "--pidfile",
        root / "docker.pid",
        "--host",
        address,
    ]
    log = root / "dockerd.log"
    with log.open("ab") as written:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    engine = Engine(address, own=True)
    try:
        until = time.monotonic() + _START_SECONDS
        while engine.docker("version", check=False).returncode != 0:
            said = log.read_text(encoding="utf-8", errors="replace")[-3000:]
            assert process.poll() is None, f"dockerd ended: {said}"
            assert time.monotonic() < until, f"dockerd does not answer: {said}"
            time.sleep(0.2)
        yield engine
    finally:
        process.send_signal(signal.SIGTERM)  # it ends its containers, and its containerd
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # The engine leaves the name of its first network namespace mounted.
        subprocess.run(["umount", root / "exec" / "netns" / "default"], capture_output=True, check=False)
