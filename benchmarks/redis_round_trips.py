"""How often clients of a Redis server wait for it: each command by itself, but what is in one transaction once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

__all__ = ["counted_round_trips"]

_WAITING = frozenset(
    {"BRPOP", "PING", "SUBSCRIBE", "PSUBSCRIBE", "UNSUBSCRIBE", "CLIENT", "HELLO", "SELECT", "MONITOR"}
)
"""What a broker's client does anyway, whether or not there is something to do, and once for a connection."""
_SETTLING_SECONDS = 2.0
"""After which what is told within a second has been told."""


@contextmanager
def counted_round_trips(url: str) -> Iterator[dict[str, int]]:
    """Count them meanwhile, by command, as MONITOR shows them; what a script does in the server is not among them."""
    counts: dict[str, int] = {}
    over = threading.Event()
    with redis.Redis.from_url(url) as client, client.monitor() as monitor:
        thread = threading.Thread(target=_count, args=(monitor, counts, over), daemon=True)
        thread.start()
        try:
            yield counts
            time.sleep(_SETTLING_SECONDS)
        finally:
            over.set()
            with redis.Redis.from_url(url) as waker:
                waker.ping()  # the thread waits for the next line
            thread.join(5)


def _count(monitor: Any, counts: dict[str, int], over: threading.Event) -> None:
    in_transaction: set[str] = set()
    for said in monitor.listen():
        if over.is_set():
            return
        name = said["command"].split(" ", 1)[0].upper()
        client = f"{said['client_address']}:{said['client_port']}"
        if said["client_type"] == "lua" or name in _WAITING:
            continue
        if name == "EXEC":
            in_transaction.discard(client)
            continue
        if client in in_transaction:
            continue
        if name == "MULTI":
            in_transaction.add(client)
        counts[name] = counts.get(name, 0) + 1
