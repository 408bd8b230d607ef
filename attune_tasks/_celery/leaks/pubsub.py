"""The surface "pub/sub": results as they are announced, events and control commands as they pass through a Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from secrets import token_hex
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.leaks.base import ListeningSurface
from attune_tasks._celery.leaks.in_time import in_time, say
from attune_tasks._celery.leaks.redis_places import (
    backend_client,
    broker_driver,
    broker_redis,
    close_client,
    glob_escaped,
)
from attune_tasks.leaks import Seeker

__all__ = ["PubSubSurface"]

_BYTES: Final = 256 << 20
_POLL_SECONDS: Final = 0.1
_REST_SECONDS: Final = 2.0
_OPEN_SECONDS: Final = 3.0


class PubSubSurface(ListeningSurface):
    """Subscribes to the channels of Celery and kombu, and to no other; what others say there is not kept."""

    def __init__(self, app: Celery, seeker: Seeker) -> None:
        """Subscribe to nothing yet."""
        super().__init__("pub/sub", seeker)
        self._app = app

    def begin(self) -> None:
        """Listen from now on."""
        found = 0
        for what, of in (("the result backend", self._of_backend), ("the broker", self._of_broker)):
            try:
                place = in_time(of, _OPEN_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever a client raises: its text may quote the URL
                self._partly(f"{what} can't be asked ({say(error)}): see `attune-tasks doctor`")
                continue
            if place is not None:
                self._listen(partial(self._hear, *place), what)
                found += 1
        if not found:
            self._not_looked_at("neither broker nor result backend is a Redis that answers: there are no channels")

    def _of_backend(self) -> tuple[Any, Sequence[str]] | None:
        client = backend_client(self._app)
        if client is None:
            return None
        backend: Any = self._app.backend
        key = backend.get_key_for_task("x")
        prefix = (key.decode() if isinstance(key, bytes) else key)[:-1]
        return client, [f"{glob_escaped(prefix)}*"]

    def _of_broker(self) -> tuple[Any, Sequence[str]] | None:
        if broker_driver(self._app) != "redis":
            return None
        broker = broker_redis(self._app)
        prefix = glob_escaped(broker.prefix + broker.fanout)
        control: Any = self._app.control  # its stubs leave the mailbox out
        mailbox = control.mailbox
        exchanges = (mailbox.exchange.name, str(self._app.conf.event_exchange))
        # Without the transport option fanout_prefix, only the exchanges' names tell kombu's channels from others'.
        return broker.client, [f"{prefix}{glob_escaped(each)}*" for each in exchanges]

    def _hear(self, client: Any, patterns: Sequence[str], ready: Callable[[], None]) -> None:
        try:
            self._subscribe(client, patterns, ready)
        finally:
            close_client(client)

    def _subscribe(self, client: Any, patterns: Sequence[str], ready: Callable[[], None]) -> None:
        # The answer to this one says that all which was published before has been heard.
        last = f"attune-leak-check-{token_hex(8)}"
        left, deadline, subscribed = _BYTES, 0.0, 0
        with client.pubsub() as channel:
            channel.psubscribe(*patterns)
            while left > 0 and not (deadline and time.monotonic() > deadline):
                message = channel.get_message(timeout=_POLL_SECONDS)
                if self._stopping.is_set() and not deadline:
                    channel.psubscribe(last)
                    deadline = time.monotonic() + _REST_SECONDS
                if message is None:
                    continue
                if message["type"] == "psubscribe":
                    subscribed += 1
                    if subscribed == len(patterns):
                        ready()
                    if _text(message["channel"]) == last:
                        return
                elif message["type"] == "pmessage":
                    data = message["data"] if isinstance(message["data"], bytes) else str(message["data"]).encode()
                    left -= len(data)
                    self._search(data, f"channel {_text(message['channel'])}")
        self._say_that_the_end_is_missing(is_too_much=left <= 0)


def _text(data: Any) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else str(data)
