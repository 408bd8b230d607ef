"""What a durable Redis was told, in its own append-only file: every state of every execution, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["states_written"]

_META: Final = b"celery-task-meta-"


def states_written(folder: Path, task_id: str) -> list[str]:
    """Give Celery's states of a task as they were stored one after the other; `folder` is the server's."""
    key = _META + task_id.encode()
    return [
        json.loads(words[2] if words[0].upper() == b"SET" else words[3])["status"]
        for words in _commands(folder)
        if len(words) > 2 and words[1] == key and words[0].upper() in {b"SET", b"SETEX", b"PSETEX"}
    ]


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
