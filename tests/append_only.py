"""What a durable Redis was told, in its own append-only file: every state of every execution, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

__all__ = ["all_metas", "states_written"]

_META: Final = b"celery-task-meta-"


def states_written(folder: Path, task_id: str) -> list[str]:
    """Give Celery's states of a task as they were stored one after the other; `folder` is the server's."""
    return [meta["status"] for found, meta in all_metas(folder) if found == task_id]


def all_metas(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give all that was stored of tasks, with their ids, one after the other."""
    for words in _commands(folder):
        name = words[0].upper()
        if name in {b"SET", b"SETEX", b"PSETEX"} and words[1].startswith(_META):
            yield words[1].removeprefix(_META).decode(), json.loads(words[2] if name == b"SET" else words[3])


def _commands(folder: Path) -> Iterator[list[bytes]]:
    for path in sorted((folder / "appendonlydir").glob("*.incr.aof")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            end = data.index(b"\r\n", place)
            count, place, words = int(data[place + 1 : end]), end + 2, []
            for _ in range(count):
                end = data.index(b"\r\n", place)
                size = int(data[place + 1 : end])
                words.append(data[end + 2 : end + 2 + size])
                place = end + 4 + size
            yield words
