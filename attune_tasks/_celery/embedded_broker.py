"""The embedded broker: a kombu transport whose messages are files in one private folder; no server is needed.

It does what Celery asks of a broker: queues with priorities, control commands and events (fanout and topic exchanges).
It is kombu's virtual transport over :class:`QueueFolders`, and not kombu's own ``filesystem`` transport, which lets
its readers see half-written files. A worker that is killed loses the messages which it had fetched and not begun.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from queue import Empty
from typing import Any, Final

from kombu.transport import virtual
from kombu.utils.json import dumps, loads

from attune_tasks._celery.embedded import EMBEDDED_DRIVER
from attune_tasks._celery.queue_folders import Binding, QueueFolders

__all__ = ["Channel", "Transport"]

logger: Final = logging.getLogger("attune_tasks.worker")

POLLING_INTERVAL: Final = 0.02
"""Seconds. An idle worker looks into its two empty folders this often: measured, under 2 % of a core."""


class Channel(virtual.Channel):
    """A channel to the folder that the transport option ``folder`` names."""

    supports_fanout = True

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        """Open the folder."""
        super().__init__(connection, **kwargs)
        self._folders = QueueFolders(Path(connection.client.transport_options["folder"]))
        self._held: dict[str, int] = {}

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, consumer_tag: Any, **kwargs: Any) -> Any:  # noqa: FBT001 - kombu's own
        """Hold the queue while it is consumed, so that nobody takes it for abandoned."""
        self._held[consumer_tag] = self._folders.hold(queue)
        return super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Let go of the queue."""
        super().basic_cancel(consumer_tag)
        if consumer_tag in self._held:
            os.close(self._held.pop(consumer_tag))

    def queue_bind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Write the binding, each time: another process may have deleted the queue since the last time."""
        exchange = exchange or "amq.direct"
        self._folders.bind(exchange, self._binding(queue, exchange, routing_key, arguments))

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Remove the binding."""
        exchange = exchange or "amq.direct"
        self._folders.unbind(exchange, self._binding(queue, exchange, routing_key, arguments))

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **_: Any) -> None:  # noqa: ARG002, FBT001, FBT002 - kombu's own
        """Delete the queue, its messages and its bindings."""
        if not (if_empty and self._size(queue)):
            self._folders.delete(queue)

    def get_table(self, exchange: str) -> Any:
        """Give the bindings of `exchange`."""
        return self._folders.bindings(exchange)

    def _binding(self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None) -> Binding:
        given = dict(arguments) if arguments else None
        meta = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, given)
        return Binding(meta[0], meta[1], queue)

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        expires = "x-expires" in (kwargs.get("arguments") or {})
        self._folders.declare(queue, temporary=expires or bool(kwargs.get("auto_delete")))

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self._folders.exists(queue)

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        self._folders.put(queue, dumps(message).encode(), self._get_message_priority(message))

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any) -> None:  # noqa: ARG002 - kombu's own
        for binding in self.get_table(exchange):
            self._put(binding.queue, message, **kwargs)

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002 - kombu's own
        while (message := self._folders.take(queue)) is not None:
            try:
                loaded = loads(message)
            except ValueError:
                loaded = None
            if isinstance(loaded, dict) and "body" in loaded and isinstance(loaded.get("properties"), dict):
                return loaded
            # Nothing is synced to the disk, so a power cut leaves such files: one of them must not end a worker.
            place = self._folders.set_aside(message)
            logger.error("a broken message in the queue %r was set aside: %s", queue, place)
        raise Empty

    def _size(self, queue: str) -> int:
        return self._folders.size(queue)

    def _purge(self, queue: str) -> int:
        return self._folders.purge(queue)


class Transport(virtual.Transport):
    """The transport behind the embedded default."""

    Channel = Channel
    driver_type = driver_name = EMBEDDED_DRIVER
    polling_interval = POLLING_INTERVAL
    longest_wait: float | None = None
    """Seconds after which a wait is over, whatever the caller asked for; for those who ask again."""
    implements = virtual.Transport.implements.extend(
        asynchronous=False,
        exchange_type=frozenset(["direct", "topic", "fanout"]),
    )

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Deliver the next message; raises TimeoutError where none comes in `timeout` seconds."""
        if self.longest_wait is not None:
            timeout = self.longest_wait if timeout is None else min(timeout, self.longest_wait)
        super().drain_events(connection, timeout)

    def driver_version(self) -> str:
        """Say nothing: the driver is this file."""
        return "N/A"
