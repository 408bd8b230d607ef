"""Looks for secrets where other users, logs and backups could see them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from attune_tasks.proc import read

__all__ = ["PS", "Surface", "look_at_files", "look_at_process", "look_at_ps", "naive_child", "wait_for"]

PS: Final = ("ps", "auxeww")
"""All processes of all users with their environments, at full width."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Surface:
    """One place that was looked at."""

    name: str
    size: str
    """How much there was to look at."""
    leaked: tuple[str, ...]
    """The names of the secrets that were found there."""
    detail: str = ""


def look_at_ps(secrets: Mapping[str, str]) -> Surface | None:
    """Look at what ps shows; None where there is no ps."""
    path = shutil.which(PS[0])
    if path is None:
        return None
    output = subprocess.run([path, *PS[1:]], check=True, capture_output=True, timeout=10).stdout
    return Surface(" ".join(PS), f"{len(output.splitlines())} lines", _found(output, secrets))


def look_at_process(pid: int, secrets: Mapping[str, str]) -> Iterator[Surface]:
    """Look at the environment and the command line of one process. What has ended by now gives nothing."""
    for name, noun in (("environ", "variables"), ("cmdline", "arguments")):
        parts = read(pid, name)
        if parts is None:
            continue
        words = [part.partition(b"=")[0] if name == "environ" else part for part in parts]
        detail = b" ".join(sorted(words) if name == "environ" else words).decode(errors="replace")
        yield Surface(f"/proc/{pid}/{name}", f"{len(parts)} {noun}", _found(b"\0".join(parts), secrets), detail)


def look_at_files(name: str, files: Iterable[Path], secrets: Mapping[str, str]) -> Surface:
    """Look into files."""
    contents = [path.read_bytes() for path in files]
    leaked = {found for content in contents for found in _found(content, secrets)}
    return Surface(name, f"{len(contents)} files", tuple(sorted(leaked)))


@contextmanager
def naive_child(secret: str) -> Iterator[int]:
    """Start a child in the way that this project is there to replace: its secret is in its environment."""
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]
    child = subprocess.Popen(command, env={"API_KEY": secret}, stdin=subprocess.PIPE)
    try:
        # Until its exec is done, /proc shows the parent's environment.
        wait_for(lambda: any(part.startswith(b"API_KEY=") for part in read(child.pid, "environ") or ()), seconds=2)
        yield child.pid
    finally:
        child.kill()
        child.communicate()


def wait_for(condition: Callable[[], _T], *, seconds: float) -> _T:
    """Give the first true value of `condition`; after `seconds` its last one."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value


def _found(data: bytes, secrets: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name, value in secrets.items() if value.encode() in data)
