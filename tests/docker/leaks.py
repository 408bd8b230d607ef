"""Looks for the stack's passwords wherever the engine shows or keeps something: to who may ask it, and in images."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from typing import IO, Final

from tests.docker.engine import Engine, client_command
from tests.docker.image_set import SHOP
from tests.docker.stack import Stack

__all__ = ["Leaks", "secrets_of"]

_SHORTEST: Final = 20
_GZIP: Final = b"\x1f\x8b"


def secrets_of(stack: Stack) -> dict[str, bytes]:
    """Give every password of the stack, by a name: those of its secrets' files, and what its init job made."""
    found: dict[str, bytes] = {}
    for name in ("broker_url", "django_secret_key", "flower_login", "admin_password", "message_keys"):
        text = stack.secret(name)
        found[name] = text.rpartition("@")[0].rpartition(":")[2].encode() or text.rpartition(":")[2].encode()
    for path, fields in json.loads(stack.secret("vault_secrets.json")).items():
        found |= {f"{path}#{name}": value.encode() for name, value in fields.items()}
    found["secret id"] = stack.execute("worker", "cat", "/run/vault/secret-id").stdout.strip().encode()
    keys = stack.engine.docker("cp", f"{stack.container('set-up-vault')}:/srv/keys/keys.json", "-")
    (text,) = _files_in(io.BytesIO(keys.stdout.encode("utf-8", "surrogateescape")))
    found |= {f"vault's {name}": value.encode() for name, value in json.loads(text).items()}
    short = [name for name, value in found.items() if len(value) < _SHORTEST]
    assert not short, short
    return found


class Leaks:
    """Looks for values; what it gives says where one stands, and which, never the value."""

    def __init__(self, engine: Engine, values: Mapping[str, bytes]) -> None:
        """Look for `values`, by name."""
        self._engine = engine
        self._values = values

    def in_text(self, where: str, text: str | bytes) -> list[str]:
        """Look in one text."""
        data = text.encode() if isinstance(text, str) else text
        return [f"{name} in {where}" for name, value in self._values.items() if value in data]

    def in_containers(self, stack: Stack, services: Iterable[str]) -> list[str]:
        """Look at ``docker inspect``, ``logs``, ``top`` and ``diff`` of services, and at compose's configuration."""
        found = self.in_text("compose config", stack.compose("config").stdout)
        for service in services:
            container = stack.container(service)
            found += self.in_container(container, service)
        return found

    def in_container(self, container: str, name: str) -> list[str]:
        """Look at one container."""
        found = []
        for question in ("inspect", "logs", "diff"):
            done = self._engine.docker(question, container)
            found += self.in_text(f"docker {question} {name}", done.stdout + done.stderr)
        top = self._engine.docker("top", container, "-eo", "pid,args", check=False)
        return found + self.in_text(f"docker top {name}", top.stdout)

    def in_images(self, images: Iterable[str] = (SHOP,)) -> list[str]:
        """Look at the history of images, and at each byte of each file of each layer."""
        found = []
        for image in images:
            history = self._engine.docker("history", "--no-trunc", image).stdout
            found += self.in_text(f"history of {image}", history)
            found += self.in_text(f"inspect of {image}", self._engine.docker("image", "inspect", image).stdout)
            command = [client_command(), "save", image]
            with subprocess.Popen(command, env=self._engine.environ, stdout=subprocess.PIPE) as saving:
                assert saving.stdout
                found += self._in_archive(image, saving.stdout)
            assert saving.returncode == 0
        return found

    def _in_archive(self, image: str, stream: IO[bytes]) -> list[str]:
        found = []
        layers = 0
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for entry in archive:
                opened = archive.extractfile(entry) if entry.isfile() else None
                if opened is None:
                    continue
                data = opened.read()  # a layer is a tar, which holds its files as they are
                if data.startswith(_GZIP):
                    data = gzip.decompress(data)
                layers += entry.name.endswith("layer.tar") or entry.name.startswith("blobs/")
                found += self.in_text(f"{image}: {entry.name}", data)
        assert layers, "an archive without layers"
        return found


def _files_in(stream: IO[bytes]) -> list[str]:
    with tarfile.open(fileobj=stream) as archive:
        opened = [archive.extractfile(entry) for entry in archive if entry.isfile()]
        return [file.read().decode() for file in opened if file]
