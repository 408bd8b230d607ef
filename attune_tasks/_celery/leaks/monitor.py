"""The surface "commands (MONITOR)": all that any client says to a Redis, also what is never kept."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from secrets import token_hex
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.leaks.base import ListeningSurface
from attune_tasks._celery.leaks.in_time import in_time, say
from attune_tasks._celery.leaks.redis_places import backend_client, broker_driver, broker_redis, close_client, shown_key
from attune_tasks._celery.live_client import impatient
from attune_tasks._celery.shared_state import shared_state
from attune_tasks.leaks import Seeker

__all__ = ["MonitorSurface", "command_of", "unescaped"]

_BYTES: Final = 512 << 20
_POLL_SECONDS: Final = 0.1
_REST_SECONDS: Final = 2.0
_OPEN_SECONDS: Final = 3.0
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))")
_CONTROLS: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_ARGUMENT: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_SHOWN: Final = 100


class MonitorSurface(ListeningSurface):
    """Searches the traffic of all clients, and keeps none of it; only where the server is said to be one's own."""

    def __init__(self, app: Celery, seeker: Seeker, *, own_redis: bool) -> None:
        """Ask nothing yet."""
        super().__init__("commands (MONITOR)", seeker)
        self._app = app
        self._own_redis = own_redis

    def begin(self) -> None:
        """Listen from now on."""
        if not self._own_redis:
            self._not_looked_at(
                "MONITOR shows everything of all clients, and slows the server: --own-redis where it is yours alone"
            )
            return
        servers: dict[tuple[Any, ...], tuple[str, Any]] = {}
        try:
            for what, client in in_time(lambda: list(self._clients()), _OPEN_SECONDS):
                pool = client.connection_pool
                address = tuple(pool.connection_kwargs.get(name) for name in ("host", "port", "path"))
                address += (getattr(pool, "service_name", None),)  # of a Sentinel, which has no host of its own
                servers.setdefault(address, (what, client))
        except Exception as error:  # noqa: BLE001 - whatever a client raises: its text may quote the URL
            self._partly(f"a server can't be asked ({say(error)}): see `attune-tasks doctor`")
        if not servers:
            self._not_looked_at("neither broker, result backend nor shared state is a Redis that answers")
        for what, client in servers.values():
            self._listen(partial(self._hear, client), what)

    def _clients(self) -> Iterator[tuple[str, Any]]:
        client = backend_client(self._app)
        if client is not None:
            yield "the result backend", client
        state = shared_state(self._app)
        if state is not None:
            yield "the shared state", impatient(state.client)
        if broker_driver(self._app) == "redis":
            yield "the broker", broker_redis(self._app).client

    def _hear(self, client: Any, ready: Callable[[], None]) -> None:
        try:
            self._monitor(client, ready)
        finally:
            close_client(client)

    def _monitor(self, client: Any, ready: Callable[[], None]) -> None:
        last = f"attune-leak-check-{token_hex(8)}".encode()
        left, deadline = _BYTES, 0.0
        with client.monitor() as monitor:
            ready()
            while left > 0 and not (deadline and time.monotonic() > deadline):
                if self._stopping.is_set() and not deadline:
                    client.echo(last)  # by another connection; all that was said before it comes before it
                    deadline = time.monotonic() + _REST_SECONDS
                if not monitor.connection.can_read(_POLL_SECONDS):
                    continue
                line = monitor.connection.read_response()
                line = line if isinstance(line, bytes) else str(line).encode()
                if last in line:
                    return
                left -= len(line)
                self._search(unescaped(line), command_of(line, self._findings.seeker))
        self._say_that_the_end_is_missing(is_too_much=left <= 0)


def unescaped(line: bytes) -> bytes:
    """Undo what MONITOR does to arguments."""

    def byte(found: re.Match[bytes]) -> bytes:
        return bytes.fromhex(found[1].decode()) if found[1] else _CONTROLS.get(found[2], found[2])

    return _ESCAPE.sub(byte, line)


def command_of(line: bytes, seeker: Seeker) -> str:
    """Name a command and its key, masked: what comes first in it, but for scripts."""
    command, *arguments = [shown_key(unescaped(each)) for each in _ARGUMENT.findall(line)[:4]] or ["?"]
    place = 2 if command.upper().startswith("EVAL") else 0
    key = seeker.mask(arguments[place]) if len(arguments) > place else ""  # and cut behind that
    return f"command {command} {key if len(key) <= _SHOWN else f'{key[:_SHOWN]}…'}".rstrip()
