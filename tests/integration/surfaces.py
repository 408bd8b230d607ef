"""Everything that others can read of executions: what stands in the broker, the backend, the log and the events."""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from celery import Celery

__all__ = ["captured_commands", "captured_events", "holds", "read_folder", "read_redis"]

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")
_ESCAPE: Final = re.compile(rb"\\\\(?:x([0-9a-f]{2})|(.))")
_END: Final = b"the end of this capture"
_CONTROLS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


def read_folder(folder: Path) -> bytes:
    """Give what all files of a folder hold, one after the other."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def read_redis(client: Any) -> bytes:
    """Give all keys of a database, each with its whole value, whatever its type is."""
    readers: dict[bytes, Callable[[bytes], Iterable[bytes | None]]] = {
        b"string": lambda key: [client.get(key)],
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"hash": lambda key: [part for pair in client.hgetall(key).items() for part in pair],
        b"stream": lambda key: [repr(client.xrange(key)).encode()],
        b"none": lambda _: [],  # it expired meanwhile
    }
    found: list[bytes] = []
    for key in sorted(client.scan_iter(count=1000)):
        found += [key, *(value for value in readers[client.type(key)](key) if value is not None)]
    return b"\n".join(found)


@contextmanager
def captured_commands(server: Any) -> Iterator[list[bytes]]:
    """Note all that any client says to a Redis meanwhile: also what is never kept, and what is deleted soon."""
    said: list[bytes] = []
    with server.monitor() as monitor:

        def listen() -> None:
            while not said or _END not in said[-1]:
                said.append(_unescaped(monitor.connection.read_response()))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield said
        finally:
            server.echo(_END)
            thread.join(10)
            assert not thread.is_alive()


def _unescaped(line: bytes) -> bytes:
    """Undo what MONITOR does to arguments."""

    def byte(found: re.Match[bytes]) -> bytes:
        return bytes.fromhex(found[1].decode()) if found[1] else _CONTROLS.get(found[2], found[2])

    return _ESCAPE.sub(byte, line)


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
                while not stop.is_set():
                    with suppress(TimeoutError):
                        used.drain_events(timeout=0.1)
                    ready.set()  # Redis is not subscribed to before the first look

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield events
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()
