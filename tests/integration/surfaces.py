"""Everything that others can read of executions: what stands in the broker, the backend, the log and the events."""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from celery import Celery

__all__ = ["captured_events", "holds", "read_folder"]

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")


def read_folder(folder: Path) -> bytes:
    """Give what all files of a folder hold, one after the other."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def holds(surface: bytes, secret: str) -> bool:
    """Look for `secret` as it is, as JSON, repr and base64 write it, and within any base64 text."""
    texts = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    patterns = [text.encode() for text in texts] + [base64.b64encode(secret.encode()).rstrip(b"=")[:-1]]
    surfaces = [surface, *_decoded(surface)]
    return any(pattern in each for pattern in patterns for each in surfaces)


def _decoded(surface: bytes) -> Iterator[bytes]:
    for found in _BASE64.findall(surface):
        try:
            yield base64.b64decode(found, validate=True)
        except binascii.Error:
            continue


@contextmanager
def captured_events(app: Celery) -> Iterator[list[dict[str, Any]]]:
    """Receive all events meanwhile, in a thread."""
    events: list[dict[str, Any]] = []
    ready, stop = threading.Event(), threading.Event()
    with app.connection_for_read() as connection:
        receiver: Any = app.events.Receiver(connection, handlers={"*": events.append})

        def receive() -> None:
            with receiver.consumer_context(wakeup=False) as (used, _, _):
                ready.set()
                while not stop.is_set():
                    with suppress(TimeoutError):
                        used.drain_events(timeout=0.1)

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield events
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()
