"""Reads processes as another user would: a process of its own, which root starts and which then becomes that user.

It is asked by lines, ``texts PID`` or ``memory PID``, and answers with frames of four bytes of length and as many of
data: one of JSON for texts; for memory one per chunk, an empty one, and then one word.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from attune_tasks.leaks.processes.memory import chunks_of
from attune_tasks.leaks.processes.texts import Piece, Texts, texts_of

__all__ = ["MEMORY_SECONDS", "as_texts", "main", "memory_frames"]

MEMORY_SECONDS: Final = 10.0
"""Spent on the memory of one process."""


def main() -> None:
    """Become the user that the arguments name, and answer until nobody asks any more."""
    uid, gid = map(int, sys.argv[-2:])
    if not os.geteuid():
        os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.chdir("/")
    for line in sys.stdin:
        what, pid = line.split()
        if what == "memory":
            for frame in memory_frames(int(pid)):
                _write(frame)
        else:
            _write(json.dumps(_as_json(texts_of(int(pid)))).encode())
        sys.stdout.buffer.flush()


def memory_frames(pid: int) -> Iterator[bytes]:
    """Give what can be read of a process's memory; then ````, and ``whole``, ``cut`` or ``denied``."""
    until = time.monotonic() + MEMORY_SECONDS
    said = b"whole"
    try:
        for chunk in chunks_of(pid):
            if time.monotonic() > until:
                said = b"cut"
                break
            yield chunk.data
    except OSError:
        said = b"denied"
    yield b""
    yield said


def as_texts(data: bytes) -> Texts:
    """Take up what was answered. Raises ValueError, KeyError, TypeError or AttributeError for another form."""
    found: dict[str, Any] = json.loads(data)
    return {
        kind: None if pieces is None else [Piece(str(place), text.encode("latin-1")) for place, text in pieces]
        for kind, pieces in found.items()
    }


def _as_json(texts: Texts) -> dict[str, Any]:
    return {
        kind: None if pieces is None else [[piece.place, piece.data.decode("latin-1")] for piece in pieces]
        for kind, pieces in texts.items()
    }


def _write(frame: bytes) -> None:
    sys.stdout.buffer.write(len(frame).to_bytes(4, "big") + frame)
