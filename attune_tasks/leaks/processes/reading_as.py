"""Who reads: this process itself, or one that has become another user."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final, Protocol

from attune_tasks.errors import AttuneTasksError
from attune_tasks.leaks.processes.reader import as_texts, memory_frames
from attune_tasks.leaks.processes.texts import Texts, User, texts_of

__all__ = ["Itself", "OtherUser", "ReaderError", "Reads"]

_TIMEOUT: Final = 15.0
"""Seconds without a word after which a reader is given up."""
_LONGEST: Final = 64 << 20
"""Bytes of a frame."""
# The modules that this process has found: an installation of the package need not be on a new interpreter's path.
_CODE: Final = (
    "import sys; sys.path[:0] = sys.argv[1].split(':'); from attune_tasks.leaks.processes.reader import main; main()"
)


class ReaderError(AttuneTasksError):
    """The process that reads as another user does not answer."""


class Reads(Protocol):
    """Reads processes as one user."""

    def texts_of(self, pid: int) -> Texts:
        """Give what it can read of a process. Raises ReaderError."""

    def memory_of(self, pid: int) -> Iterator[bytes]:
        """Give what it can read of a process's memory; then ````, and ``whole``, ``cut`` or ``denied``."""

    def close(self) -> None:
        """Read no more."""


class Itself:
    """This process, as the user that it is."""

    def texts_of(self, pid: int) -> Texts:
        """Give what can be read of a process."""
        return texts_of(pid)

    def memory_of(self, pid: int) -> Iterator[bytes]:
        """Give what can be read of a process's memory."""
        return memory_frames(pid)

    def close(self) -> None:
        """Nothing is open."""


class OtherUser:
    """A process that has become another user, which only root can start. Nothing that it says is trusted."""

    def __init__(self, user: User) -> None:
        """Start it. Raises OSError."""
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _CODE, path, str(user.uid), str(user.gid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            bufsize=0,
        )

    def texts_of(self, pid: int) -> Texts:
        """Give what it can read of a process. Raises ReaderError."""
        self._ask("texts", pid)
        try:
            return as_texts(self._frame())
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise ReaderError("the reader answered in another form than it should")  # noqa: EM101, TRY003 - its only cause

    def memory_of(self, pid: int) -> Iterator[bytes]:
        """Give what it can read of a process's memory. Raises ReaderError."""
        self._ask("memory", pid)
        while frame := self._frame():
            yield frame
        yield b""
        yield self._frame()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(self, what: str, pid: int) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for mypy
        try:
            self._process.stdin.write(f"{what} {pid}\n".encode())
        except OSError as error:
            msg = "the reader has ended"
            raise ReaderError(msg) from error

    def _frame(self) -> bytes:
        size = int.from_bytes(self._exactly(4), "big")
        if size > _LONGEST:
            msg = "the reader answered with more than can be"
            raise ReaderError(msg)
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - for mypy
        descriptor = self._process.stdout.fileno()
        data = bytearray()
        until = time.monotonic() + _TIMEOUT
        while len(data) < size:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
            piece = os.read(descriptor, size - len(data)) if ready else b""
            if not piece:
                msg = "the reader does not answer" if not ready else "the reader has ended"
                raise ReaderError(msg)
            data += piece
        return bytes(data)
