"""Messages, queues and bindings as files: what the embedded broker stands on. Knows nothing of Celery.

Every file appears whole, by a rename, and is taken by the one process whose unlink succeeds: so no reader sees half
a message, and none is handed out twice. Nothing is synced to the disk: messages outlive every process, but not a
power cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

__all__ = ["Binding", "QueueFolders"]

_LOWEST_PRIORITY: Final = 0
_HIGHEST_PRIORITY: Final = 9
_LONGEST_NAME: Final = 180
_CONSUMERS: Final = ".consumers"
_TEMPORARY: Final = ".temporary"
_UNUSED_SECONDS: Final = 60.0
"""How long a temporary queue may have no consumer; one is declared a moment before its consumer comes."""


class Binding(NamedTuple):
    """One way from an exchange to a queue, in the order that kombu's exchange types expect."""

    routing_key: str
    pattern: str | None
    queue: str


class QueueFolders:
    """A broker's data in one folder, shared by any number of processes."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which must be there and be private: who can write to it can send tasks."""
        self._queues = folder / "queues"
        self._exchanges = folder / "exchanges"
        self._unfinished = folder / "unfinished"
        self._broken = folder / "broken"
        for path in (self._queues, self._exchanges, self._unfinished):
            path.mkdir(mode=0o700, exist_ok=True)

    def declare(self, queue: str, *, temporary: bool = False) -> None:
        """Make a queue. A temporary one is deleted, with its messages, once it has long had no consumer."""
        folder = self._queue(queue)
        folder.mkdir(mode=0o700, exist_ok=True)
        if temporary:
            (folder / _TEMPORARY).touch(mode=0o600)

    def exists(self, queue: str) -> bool:
        """Say whether the queue is there."""
        return self._queue(queue).is_dir()

    def put(self, queue: str, message: bytes, priority: int = _LOWEST_PRIORITY) -> None:
        """Append a message; those of a higher priority (0 to 9) come first. Makes the queue if need be."""
        rank = _HIGHEST_PRIORITY - max(_LOWEST_PRIORITY, min(_HIGHEST_PRIORITY, priority))
        name = f"{rank}-{time.time_ns():020d}-{uuid.uuid4().hex}"
        folder = self._queue(queue)
        try:
            self._write(folder / name, message)
        except FileNotFoundError:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._write(folder / name, message)

    def take(self, queue: str) -> bytes | None:
        """Remove and give the first message; None where there is none."""
        folder = self._queue(queue)
        for name in _names(folder):
            path = folder / name
            try:
                message = path.read_bytes()
                path.unlink()
            except FileNotFoundError:
                continue  # another consumer was quicker
            return message
        return None

    def set_aside(self, message: bytes) -> Path:
        """Keep a message that can't be read where nobody takes it, and give its place."""
        self._broken.mkdir(mode=0o700, exist_ok=True)
        path = self._broken / uuid.uuid4().hex
        self._write(path, message)
        return path

    def size(self, queue: str) -> int:
        """Count the waiting messages."""
        return len(_names(self._queue(queue)))

    def purge(self, queue: str) -> int:
        """Remove all waiting messages; give how many there were."""
        count = 0
        for name in _names(self._queue(queue)):
            with contextlib.suppress(FileNotFoundError):
                (self._queue(queue) / name).unlink()
                count += 1
        return count

    def delete(self, queue: str) -> None:
        """Remove a queue, its messages and its bindings."""
        for path in self._exchanges.glob(f"*/{_file_name(queue)}~*"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self._queue(queue), ignore_errors=True)

    def hold(self, queue: str) -> int:
        """Say that this process consumes `queue`, until the descriptor which this gives is closed."""
        self._queue(queue).mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._queue(queue) / _CONSUMERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def bind(self, exchange: str, binding: Binding) -> None:
        """Send what `exchange` gets to the binding's queue, too; binding twice changes nothing."""
        folder = self._exchanges / _file_name(exchange)
        folder.mkdir(mode=0o700, exist_ok=True)
        text = json.dumps(binding)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._write(folder / f"{_file_name(binding.queue)}~{digest}", text.encode())

    def unbind(self, exchange: str, binding: Binding) -> None:
        """Undo :meth:`bind`."""
        digest = hashlib.sha256(json.dumps(binding).encode()).hexdigest()[:16]
        (self._exchanges / _file_name(exchange) / f"{_file_name(binding.queue)}~{digest}").unlink(missing_ok=True)

    def bindings(self, exchange: str) -> list[Binding]:
        """Give the bindings of an exchange. Deletes temporary queues on the way whose consumers are gone."""
        found = []
        folder = self._exchanges / _file_name(exchange)
        for name in _names(folder):
            with contextlib.suppress(FileNotFoundError):
                binding = Binding(*json.loads((folder / name).read_bytes()))
                if self._abandoned(binding.queue):
                    self.delete(binding.queue)
                else:
                    found.append(binding)
        return found

    def _abandoned(self, queue: str) -> bool:
        folder = self._queue(queue)
        try:
            if time.time() - (folder / _TEMPORARY).stat().st_mtime < _UNUSED_SECONDS:
                return False
            descriptor = os.open(folder / _CONSUMERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def _queue(self, queue: str) -> Path:
        return _folder(self._queues, queue)

    def _write(self, path: Path, data: bytes) -> None:
        unfinished = self._unfinished / uuid.uuid4().hex
        try:
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor, for its mode
                file.write(data)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def _file_name(name: str) -> str:
    # The prefix keeps "" and ".." from being folders of their own meaning; quote() leaves no "/" and no glob sign.
    plain = "=" + quote(name, safe="").replace("~", "%7E")
    # File systems take 255 bytes; a binding's file has a digest behind it.
    return plain if len(plain) <= _LONGEST_NAME else f"{plain[:80]}#{hashlib.sha256(name.encode()).hexdigest()}"


@lru_cache(maxsize=256)
def _folder(parent: Path, name: str) -> Path:
    return parent / _file_name(name)


def _names(folder: Path) -> list[str]:
    """Give the names of the files in `folder` that are not hidden, sorted. Called a hundred times a second."""
    try:
        return sorted(name for name in os.listdir(folder) if name[0] != ".")  # noqa: PTH208 - half the price of iterdir()
    except FileNotFoundError:
        return []
