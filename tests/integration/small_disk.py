"""A disk that is small, and may be filled: a file system in memory, which only root can mount."""

from __future__ import annotations

import errno
import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = ["clear", "fill", "small_disk"]

_FILLER: Final = "filler-"
_BLOCK: Final = 8192


@contextmanager
def small_disk(folder: Path, size: str = "256k", files: int = 64) -> Iterator[Path]:
    """Mount a file system with room for a few files."""
    disk = folder / "disk"
    disk.mkdir()
    options = f"size={size},nr_inodes={files},mode=1777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> None:
    """Leave no room for a file there, nor for a byte."""
    size, number = _BLOCK, itertools.count()
    while size:
        try:
            (disk / f"{_FILLER}{next(number)}").write_bytes(b"x" * size)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - as many as there is room for
            size //= 2
    with suppress(OSError):
        for each in number:
            (disk / f"{_FILLER}{each}").touch()


def clear(disk: Path) -> None:
    """Take away what fills it."""
    for path in disk.glob(f"{_FILLER}*"):
        path.unlink()
