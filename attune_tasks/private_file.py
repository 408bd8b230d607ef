"""Reading a file that must be its owner's alone, or at least not everybody's."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["NotPrivateError", "read_closed", "read_private"]


class NotPrivateError(Exception):
    """The file can't be used; the text says why, and holds nothing of what is in it."""


def read_private(path: Path) -> bytes:
    """Give what `path` holds. A symlink is followed (mounted secrets are often symlinks); its end is what counts.

    Raises NotPrivateError where it can't be opened, is no regular file, belongs to another user, or has a mode that
    gives anything to group or others. Where the system has no such owners and modes (Windows), these are not looked at.
    """
    with _opened(path) as file:
        status = os.fstat(file.fileno())  # of the opened file: no other can take its place now
        if not hasattr(os, "geteuid"):
            return file.read()  # no POSIX: there is neither such an owner nor a mode to look at
        if status.st_uid != os.geteuid():
            msg = f"{path} belongs to another user: run `chown {os.geteuid()} {path}`"
            raise NotPrivateError(msg)
        if status.st_mode & 0o077:
            msg = f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}): run `chmod 600 {path}`"
            raise NotPrivateError(msg)
        return file.read()


def read_closed(path: Path) -> bytes:
    """Give what `path` holds, whoever owns it: systemd and Kubernetes hand over files that are root's.

    Raises NotPrivateError where it can't be opened, is no regular file, or has a mode that lets everybody read it.
    """
    with _opened(path) as file:
        mode = os.fstat(file.fileno()).st_mode
        if hasattr(os, "geteuid") and mode & 0o007:
            msg = f"{path} is open to all users (mode {stat.S_IMODE(mode):04o}): run `chmod o= {path}`"
            raise NotPrivateError(msg)
        return file.read()


def _opened(path: Path) -> BinaryIO:
    try:
        opened = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - pathlib has no opener
    except OSError as error:
        msg = f"{path} can't be opened: {error.strerror}"
        raise NotPrivateError(msg) from None
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        msg = f"{path} is not a regular file"
        raise NotPrivateError(msg)
    return opened


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a FIFO would wait for its writer
