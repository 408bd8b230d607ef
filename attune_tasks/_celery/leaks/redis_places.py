"""The Redis servers that an app uses, each with a client that gives up soon, and the names of what stands there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from celery import Celery

from attune_tasks._celery.live_client import impatient
from attune_tasks._celery.shared_state import is_redis

__all__ = [
    "BrokerRedis",
    "Entry",
    "backend_client",
    "broker_driver",
    "broker_redis",
    "close_client",
    "glob_escaped",
    "length",
    "read_key",
    "scan",
    "shown_key",
]

_CONNECT_SECONDS: Final = 2
_ENTRIES: Final = 1000
"""Of one list, set, hash or stream."""
_STRING_BYTES: Final = 4 << 20
_SCANNED_AT_ONCE: Final = 1000
_REPLIES: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.reply\.")


class Entry(NamedTuple):
    """One thing at a key."""

    where: str
    """The key's type, and the field where there is one."""
    data: bytes
    is_cut: bool = False
    """Whether there is more which is not read."""


@dataclass(slots=True)
class BrokerRedis:
    """A broker that is a Redis."""

    client: Any
    """Sees keys as they are, whatever kombu's prefix is."""
    prefix: str
    """In front of each key: kombu's ``global_keyprefix``."""
    fanout: str
    """In front of the channels of events and control commands; empty where they have no prefix."""
    unacked: tuple[str, ...]
    separator: str
    priorities: tuple[int, ...] = field(default=(0,))

    def queue_keys(self, queue: str) -> list[str]:
        """Name the lists of one queue."""
        tails = ("", *(f"{self.separator}{each}" for each in self.priorities if each))
        return [f"{self.prefix}{queue}{tail}" for tail in tails]


def broker_driver(app: Celery) -> str:
    """Give kombu's name of the broker's kind: ``redis``, ``amqp``, and others."""
    with app.connection_for_read() as connection:
        return str(connection.transport.driver_type)


def broker_redis(app: Celery) -> BrokerRedis:
    """Give the broker, which must be a Redis. Raises what kombu and the client raise for one that is away."""
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_SECONDS)
        channel: Any = connection.default_channel
        with channel.conn_or_acquire() as client:
            return BrokerRedis(
                _plain(impatient(client)),
                channel.global_keyprefix,
                channel.keyprefix_fanout,
                (channel.unacked_key, channel.unacked_index_key, channel.unacked_mutex_key),
                channel.sep,
                tuple(channel.priority_steps),
            )


def _plain(client: Any) -> Any:
    """Give a client of the same pool that knows nothing of kombu's prefixes."""
    from redis import Redis

    return Redis(connection_pool=client.connection_pool)


def backend_client(app: Celery) -> Any:
    """Give a client of the result backend; None where that is no Redis."""
    backend: Any = app.backend
    return impatient(backend.client) if is_redis(backend) else None


def close_client(client: Any) -> None:
    """Close the connections of a client that was made here."""
    client.connection_pool.disconnect()


def glob_escaped(text: str) -> str:
    """Give a pattern of Redis that means `text` and nothing else."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in text)


def shown_key(key: str | bytes) -> str:
    """Give a key as rows name it. Each question to a worker has a queue for its answer: all of them are one place."""
    text = key.decode(errors="replace") if isinstance(key, bytes) else key
    return _REPLIES.sub("….reply.", text)


def scan(client: Any, pattern: str, at_most: int, seconds: float) -> Iterator[bytes | None]:
    """Give the keys that fit `pattern`, at most so many, and look for them no longer; None: there may be more.

    Of the others in the database each is passed by, so that it may take long until there is one.
    """
    cursor, given, deadline = 0, 0, time.monotonic() + seconds
    while True:
        cursor, found = client.scan(cursor, match=pattern, count=_SCANNED_AT_ONCE)
        for key in found:
            yield key
            given += 1
        if not int(cursor):
            return
        if given >= at_most or time.monotonic() > deadline:
            yield None
            return


def read_key(client: Any, key: str | bytes) -> Iterator[Entry]:
    """Give what stands at a key, whatever its type is: the newest entries where there is an order, and bounded."""
    kind = client.type(key)
    reader = _READERS.get(kind.decode() if isinstance(kind, bytes) else str(kind))
    if reader is None:  # it has expired meanwhile, or a module has types of its own
        return
    for number, entry in enumerate(reader(client, key)):
        yield entry
        if number >= _ENTRIES:
            yield Entry(entry.where.partition(",")[0], b"", is_cut=True)
            return


def length(client: Any, key: str | bytes) -> int:
    """Give the number of entries at a key."""
    kind = client.type(key)
    command = _LENGTHS.get(kind.decode() if isinstance(kind, bytes) else str(kind))
    return int(client.execute_command(command, key)) if command else 0


def _string(client: Any, key: str | bytes) -> Iterator[Entry]:
    data = _bytes(client.getrange(key, 0, _STRING_BYTES))
    yield Entry("string", data, is_cut=len(data) > _STRING_BYTES)


def _list(client: Any, key: str | bytes) -> Iterator[Entry]:
    yield from (Entry("list", _bytes(each)) for each in client.lrange(key, 0, _ENTRIES))


def _sorted_set(client: Any, key: str | bytes) -> Iterator[Entry]:
    yield from (Entry("zset", _bytes(each)) for each in client.zrevrange(key, 0, _ENTRIES))


def _set(client: Any, key: str | bytes) -> Iterator[Entry]:
    yield from (Entry("set", _bytes(each)) for each in client.sscan_iter(key))


def _hash(client: Any, key: str | bytes) -> Iterator[Entry]:
    for name, value in client.hscan_iter(key):
        yield Entry(f"hash, field {_shown(name)}", _bytes(value))
        yield Entry("hash, a field's name", _bytes(name))


def _stream(client: Any, key: str | bytes) -> Iterator[Entry]:
    for entry_id, fields in client.xrevrange(key, count=_ENTRIES + 1):
        for name, value in (fields or {}).items():
            yield Entry(f"stream, entry {_shown(entry_id)}, field {_shown(name)}", _bytes(value))


_READERS: Final[Mapping[str, Callable[[Any, str | bytes], Iterator[Entry]]]] = {
    "string": _string,
    "list": _list,
    "zset": _sorted_set,
    "set": _set,
    "hash": _hash,
    "stream": _stream,
}

_LENGTHS: Final = {
    "string": "EXISTS",
    "list": "LLEN",
    "zset": "ZCARD",
    "set": "SCARD",
    "hash": "HLEN",
    "stream": "XLEN",
}


def _shown(value: Any) -> str:
    return _bytes(value).decode(errors="replace")


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value if value is not None else "").encode()
