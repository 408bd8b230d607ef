"""What stands in the folders of the embedded broker and backend, and in other backends that keep a value for a key."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.leaks.in_time import in_time
from attune_tasks._celery.leaks.keys import Place
from attune_tasks._celery.leaks.redis_places import shown_key
from attune_tasks.leaks import Watched

__all__ = ["EmbeddedBackendKeys", "EmbeddedBrokerKeys", "ValueKeys"]

_FILES: Final = 5000
_ANSWER_SECONDS: Final = 1.0
_FILE_BYTES: Final = 4 << 20


class EmbeddedBrokerKeys:
    """The files of the embedded broker: queues, bindings, what is being written, and what was set aside."""

    def __init__(self, folder: Path) -> None:
        """Read the folder that the transport option names; it is private to this user and this broker."""
        self._folder = folder

    def open(self) -> None:
        """Raise OSError where it can't be read."""
        os.scandir(self._folder).close()

    def close(self) -> None:
        """Do nothing: nothing is kept open."""

    def read(self, executions: Sequence[Watched], sweep: float) -> Iterator[Place]:  # noqa: ARG002 - messages have no place of their own
        """Give all files: what a worker takes is gone a moment later."""
        number = 0
        for folder, _, names in os.walk(self._folder):
            for name in sorted(names):
                number += 1
                if number > _FILES:
                    yield Place("the broker's folder", b"", is_cut=True)
                    return
                path = Path(folder, name)
                yield from _file(path, path.relative_to(self._folder))

    def extent(self) -> str:
        """Say how many files there are."""
        return f"{sum(len(names) for _, _, names in os.walk(self._folder))} files"


class EmbeddedBackendKeys:
    """The files of the embedded backend that are the executions' own."""

    def __init__(self, app: Celery) -> None:
        """Read nothing yet."""
        self._backend: Any = app.backend

    def open(self) -> None:
        """Raise OSError where the folder can't be read."""
        os.scandir(self._backend.path).close()

    def close(self) -> None:
        """Do nothing: nothing is kept open."""

    def read(self, executions: Sequence[Watched], sweep: float) -> Iterator[Place]:  # noqa: ARG002 - nothing else is there
        """Give each one's result, and what of it is being written."""
        folder = Path(os.fsdecode(self._backend.path))
        for each in executions:
            key = self._backend.get_key_for_task(each.task_id)
            result = Path(os.fsdecode(self._backend._filename(key)))  # noqa: SLF001 - how it names its files
            yield from _file(result, Path(result.name))
            for path in folder.glob(f"{result.name}.unfinished-*"):
                yield from _file(path, Path(path.name))

    def extent(self) -> str:
        """Say that nothing but results is looked at."""
        return "the executions' results"


class ValueKeys:
    """The stored values of another of Celery's backends that keeps one for a key: files, memcached, a cloud's."""

    def __init__(self, app: Celery) -> None:
        """Read nothing yet."""
        self._backend: Any = app.backend

    def open(self) -> None:
        """Do nothing: it connects when it is asked."""

    def close(self) -> None:
        """Do nothing: nothing is kept open."""

    def read(self, executions: Sequence[Watched], sweep: float) -> Iterator[Place]:  # noqa: ARG002 - nothing else is known
        """Give each one's stored result."""
        for each in executions:
            key = self._backend.get_key_for_task(each.task_id)
            value = in_time(partial(self._backend.get, key), _ANSWER_SECONDS)
            if value is not None:
                shown = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
                yield Place(f"key {shown}", value if isinstance(value, bytes) else str(value).encode())

    def extent(self) -> str:
        """Say that nothing but results is looked at."""
        return "the executions' results"


def _file(path: Path, shown: Path) -> Iterator[Place]:
    with suppress(OSError), path.open("rb") as file:  # it may have been taken meanwhile
        yield Place(f"file {shown_key(str(shown))}", file.read(_FILE_BYTES))
        yield Place(f"the name of file {shown_key(str(shown))}", os.fsencode(shown))
