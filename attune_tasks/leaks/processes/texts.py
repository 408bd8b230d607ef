"""What /proc shows of one process in texts: environment, arguments, names, and what it has open."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

__all__ = ["KINDS", "Piece", "Texts", "User", "arguments_of", "is_zombie", "name_of", "texts_of", "user_of"]

_AT_MOST: Final = 4 << 20
"""Bytes of one file: an environment and the arguments have 2 MiB together where the kernel's bounds are the usual."""
_DESCRIPTORS: Final = 2000
_THREADS: Final = 200
_READ: Final = 1 << 16
_GONE: Final = frozenset({errno.ENOENT, errno.ESRCH})


class Piece(NamedTuple):
    """A text, and where in the process it stands."""

    place: str
    """A number, or ````."""
    data: bytes


Texts: TypeAlias = dict[str, list[Piece] | None]
"""By the name of the surface; None for what may not be read."""


def texts_of(pid: int) -> Texts:
    """Give what can be read of a process; nothing where it has ended."""
    texts: Texts = {}
    for kind, pieces in KINDS.items():
        try:
            texts[kind] = list(pieces(f"/proc/{pid}/"))
        except PermissionError:
            if not is_zombie(pid):  # one has nothing to show, and is root's
                texts[kind] = None
        except OSError as error:
            if error.errno not in _GONE:
                texts[kind] = None
    return texts


def arguments_of(pid: int) -> list[bytes]:
    """Give the command line; nothing where there is none any more."""
    try:
        data = _content(f"/proc/{pid}/cmdline")
    except OSError:
        return []
    # A program that overwrites its title leaves a row of NULs behind it.
    return data.rstrip(b"\0").split(b"\0") if data.strip(b"\0") else []


def name_of(pid: int) -> str:
    """Give the name of the program. Never what the process calls itself: that is cut, and so could not be masked."""
    try:
        path = str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        arguments = arguments_of(pid)
        path = arguments[0].decode(errors="replace") if arguments else ""
    return path.removesuffix(" (deleted)").rpartition("/")[2] or "a process"


def is_zombie(pid: int) -> bool:
    """Say whether a process has ended, and nobody was told yet."""
    try:
        return _content(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] in {b"Z", b"X"}
    except OSError:
        return True


class User(NamedTuple):
    """A user and a group: who may read a process has both of them."""

    uid: int
    gid: int

    def __str__(self) -> str:
        """Name it for people."""
        return f"user {self.uid}"


def user_of(pid: int) -> User | None:
    """Give the user with whose rights a process runs; None where it has ended."""
    try:
        lines = _content(f"/proc/{pid}/status").splitlines()
    except OSError:
        return None
    # Real, effective, saved, and that of the file system.
    ids = {line[:4]: int(line.split()[2]) for line in lines if line.startswith((b"Uid:", b"Gid:"))}
    return User(ids[b"Uid:"], ids[b"Gid:"]) if len(ids) > 1 else None


def _environ(folder: str) -> Iterator[Piece]:
    for number, entry in enumerate(_content(f"{folder}environ").split(b"\0")):
        if entry:
            yield Piece(str(number), entry)


def _command_line(folder: str) -> Iterator[Piece]:
    data = _content(f"{folder}cmdline").rstrip(b"\0")
    arguments = data.split(b"\0")
    for number, argument in enumerate(arguments):
        yield Piece(str(number), argument)
    # A value with spaces may have become several arguments.
    yield Piece("", data.replace(b"\0", b" "))


def _names(folder: str) -> Iterator[Piece]:
    # The kernel keeps 15 bytes of each: of a longer value a part would not be recognised.
    for thread in os.listdir(f"{folder}task")[:_THREADS]:  # noqa: PTH208 - this is done ten times a second
        try:
            yield Piece(thread, _content(f"{folder}task/{thread}/comm").rstrip(b"\n"))
        except FileNotFoundError:
            continue  # the thread has ended


def _descriptors(folder: str) -> Iterator[Piece]:
    for number in os.listdir(f"{folder}fd")[:_DESCRIPTORS]:  # noqa: PTH208 - as above
        try:
            yield Piece(number, _target(f"{folder}fd/{number}"))
        except FileNotFoundError:
            continue  # it was closed


def _mapped(folder: str) -> Iterator[Piece]:
    # Five fields, then blanks, then the path, with `\012` for a line feed.
    lines = (line.split(None, 5) for line in _content(f"{folder}maps").splitlines())
    for path in dict.fromkeys(fields[5] for fields in lines if len(fields) > 5):  # noqa: PLR2004 - said above
        yield Piece("", path)
    try:
        yield Piece("", _target(f"{folder}exe"))
    except FileNotFoundError:
        return  # a thread of the kernel's, or a zombie


def _folders(folder: str) -> Iterator[Piece]:
    for name in ("cwd", "root"):
        yield Piece(name, _target(folder + name))


KINDS: Final[dict[str, Callable[[str], Iterator[Piece]]]] = {
    "environ": _environ,
    "command lines": _command_line,
    "process names": _names,
    "open files": _descriptors,
    "mapped files": _mapped,
    "names of working folders": _folders,
}
"""What is read of a process, by the name of the surface."""


def _target(link: str) -> bytes:
    return os.readlink(link.encode())  # noqa: PTH115 - as bytes


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = piece = os.read(descriptor, _READ)
        while piece and len(data) < _AT_MOST:
            piece = os.read(descriptor, _READ)
            data += piece
        return data
    finally:
        os.close(descriptor)
