"""What a durable Redis was told, in its own append-only file: every state of every execution, in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from celery import states

__all__ = ["all_metas", "commands", "ends_written", "read_end", "states_written"]

_META: Final = b"celery-task-meta-"


def states_written(folder: Path, task_id: str) -> list[str]:
    """Give Celery's states of a task as they were stored one after the other; `folder` is the server's."""
    return [meta["status"] for found, meta in all_metas(folder) if found == task_id]


def ends_written(folder: Path, task_id: str) -> list[dict[str, Any]]:
    """Give the final states of a task as :func:`read_end` does, one after the other."""
    written = [read_end(meta) for found, meta in all_metas(folder) if found == task_id]
    return [each for each in written if each["state"] in states.READY_STATES]


def read_end(meta: dict[str, Any]) -> dict[str, Any]:
    """Give what one final state has in common with itself when it is stored twice, and with no other one.

    Celery's state alone of what is not final. The times are left out: who stores it first may be another than who
    stores it again.
    """
    state, value = meta["status"], meta["result"]
    stored = value if isinstance(value, dict) else {}
    if state == states.FAILURE and stored.get("exc_type") == "ActionFailed":
        stored = stored["exc_message"][0]
    if state not in states.READY_STATES:
        return {"state": state}
    error = (stored.get("error") or {}).get("type") or stored.get("exc_type")
    attempt = stored.get("attempt", 0)  # none: what Celery stored by itself
    return {"state": state, "status": stored.get("status"), "error": error, "attempt": attempt}


def all_metas(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give all that was stored of tasks, with their ids, one after the other."""
    for words in commands(folder):
        name = words[0].upper()
        if name in {b"SET", b"SETEX", b"PSETEX"} and words[1].startswith(_META):
            yield words[1].removeprefix(_META).decode(), json.loads(words[2] if name == b"SET" else words[3])


def commands(folder: Path) -> Iterator[list[bytes]]:
    """Give all that has changed something there, one after the other: of a script, what it did."""
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
