"""compose.yaml, brought up for the tests, by whichever compose there is."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.docker.engine import Engine, client_command
from tests.docker.image_set import BASE, REDIS, SHOP, VAULT
from tests.docs_blocks import ROOT

__all__ = ["Stack", "running_stack"]

_PROJECT: Final = "attune-tasks-test"
_UP_SECONDS: Final = 300.0


class Stack:
    """The services of docker/compose.yaml, in a copy of that folder, so that no checkout gets passwords."""

    def __init__(self, engine: Engine, folder: Path, ports: Mapping[str, int], extra: Path | None = None) -> None:
        """Start nothing yet. `folder` is a copy of docker/."""
        self.engine = engine
        self.folder = folder
        self.ports = ports
        self.started_by = ("up", "-d")
        """What compose is told to start it."""
        self._files = ["-f", "compose.yaml", *(["-f", str(extra)] if extra else [])]
        self._command = _compose_command(engine)

    @property
    def user(self) -> str:
        """The user that the containers run as: the one who started the tests, and for root another."""
        text = (self.folder / ".env").read_text(encoding="utf-8")
        return text.partition("ATTUNE_USER=")[2].split()[0]

    def secret(self, name: str) -> str:
        """Give what stands in the file of one of the secrets."""
        return (self.folder / "secrets" / name).read_text(encoding="utf-8").strip()

    def compose(self, *arguments: str, seconds: float = 120.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run compose, to its end."""
        environ = {
            **self.engine.environ,
            "COMPOSE_PROJECT_NAME": _PROJECT,
            "ATTUNE_IMAGE": SHOP,
            "BASE_IMAGE": BASE,
            "BUILD_NETWORK": "host",
            "REDIS_IMAGE": REDIS,
            "VAULT_IMAGE": VAULT,
            "WEB_PORT": str(self.ports["web"]),
            "FLOWER_PORT": str(self.ports["flower"]),
            "HEALTH_INTERVAL": "2s",
        }
        done = subprocess.run(
            [*self._command, *self._files, *arguments],
            cwd=self.folder,
            env=environ,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}{done.stderr[-5000:]}"
        return done

    def container(self, service: str) -> str:
        """Give the id of a service's container, running or not."""
        return self.compose("ps", "--all", "-q", service, check=False).stdout.strip() or self._by_label(service)

    def execute(
        self, service: str, *command: str, seconds: float = 120.0, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container; `text` is its standard input."""
        words = ("exec", "--interactive", self.container(service), *command)
        return self.engine.docker(*words, seconds=seconds, check=False, text=text)

    def inspect(self, service: str) -> dict[str, Any]:
        """Give what the engine knows of a service's container."""
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", self.container(service)).stdout)[0]
        return found

    def logs(self, service: str) -> str:
        """Give what a service's container has written."""
        done = self.engine.docker("logs", self.container(service))
        return done.stdout + done.stderr

    def health(self, service: str) -> str:
        """Give the engine's word on a service's health."""
        return str(self.inspect(service)["State"]["Health"]["Status"])

    def _by_label(self, service: str) -> str:
        labels = (f"com.docker.compose.project={_PROJECT}", f"com.docker.compose.service={service}")
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        found = self.engine.docker("ps", "--all", "--quiet", "--no-trunc", *filters).stdout.split()
        assert len(found) == 1, (service, found)
        return found[0]


@contextmanager
def running_stack(engine: Engine, folder: Path, override: Mapping[str, Any] | None = None) -> Iterator[Stack]:
    """Bring the stack up from a copy of docker/ in `folder`, with what `override` says besides; take it down again."""
    place = folder / "docker"
    shutil.copytree(ROOT / "docker", place, ignore=shutil.ignore_patterns("secrets", ".env"))
    subprocess.run([place / "make-secrets"], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    extra = None
    if override:
        extra = place / "override.yaml"
        extra.write_text(json.dumps(override), encoding="utf-8")
    stack = Stack(engine, place, {"web": _free_port(), "flower": _free_port()}, extra)
    try:
        stack.compose(*stack.started_by, seconds=_UP_SECONDS)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "3", check=False)


def _compose_command(engine: Engine) -> list[str]:
    if engine.docker("compose", "version", check=False).returncode == 0:
        return [client_command(), "compose"]
    assert shutil.which("docker-compose"), "there is no compose: apt-get install docker-compose"
    return ["docker-compose"]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
