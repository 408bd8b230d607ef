"""The bytes of a file, as many as a look may take. Nothing but a regular file is ever opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

__all__ = ["FileBytes", "read_file"]

_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_ATTRIBUTES: Final = 64


class FileBytes(NamedTuple):
    """What was read of a file."""

    pieces: tuple[bytes, ...]
    """The whole, or the beginning and the end; then what stands in its extended attributes."""
    is_whole: bool


def read_file(path: str, most: int, *, follow: bool = False) -> FileBytes | None:
    """Read at most `most` bytes: the whole file, or as much of its beginning as of its end; None: it is no file.

    Raises OSError where it can't be read. A last part that is a link is followed only with `follow`, as those in
    ``/proc/<pid>/fd`` have to be.
    """
    with _handle(path, follow=follow) as (handle, status):
        if not stat.S_ISREG(status.st_mode):
            return None
        # By its handle: what stands at the path may be another thing by now, such as a FIFO.
        file = os.open(f"/proc/self/fd/{handle}", _OPEN)
    try:
        if status.st_size <= most:
            # One byte more tells whether it has grown beyond that.
            data = _read(file, 0, most + 1)
            pieces: tuple[bytes, ...] = (data[:most],)
            is_whole = len(data) <= most
        else:
            half = most // 2
            pieces = (_read(file, 0, half), _read(file, status.st_size - half, half))
            is_whole = False
        return FileBytes((*pieces, *_attributes(file)), is_whole)
    finally:
        os.close(file)


@contextmanager
def _handle(path: str, *, follow: bool) -> Iterator[tuple[int, os.stat_result]]:
    """Give a descriptor which only says what it is."""
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        yield handle, os.fstat(handle)
    finally:
        os.close(handle)


def _read(file: int, offset: int, most: int) -> bytes:
    pieces = []
    while most > 0 and (piece := os.pread(file, min(most, 1 << 20), offset)):
        pieces.append(piece)
        offset += len(piece)
        most -= len(piece)
    return b"".join(pieces)


def _attributes(file: int) -> Iterator[bytes]:
    """Give names and values of its extended attributes, where its file system has any."""
    try:
        for name in os.listxattr(file)[:_ATTRIBUTES]:
            yield os.fsencode(name) + b"=" + os.getxattr(file, name)
    except OSError:
        return
