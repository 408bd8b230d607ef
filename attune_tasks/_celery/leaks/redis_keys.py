"""What stands in a Redis that is the broker or the result backend: our keys, the tasks' and those of queues in use.

Other keys of the database are not read. What others have in the same queues is, and none of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.leaks.keys import Place
from attune_tasks._celery.leaks.redis_places import (
    BrokerRedis,
    backend_client,
    broker_redis,
    close_client,
    glob_escaped,
    length,
    read_key,
    scan,
    shown_key,
)
from attune_tasks._celery.live_client import impatient
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.shared_state import SharedState, shared_state
from attune_tasks.leaks import Watched

__all__ = ["RedisBackendKeys", "RedisBrokerKeys", "queues_of"]

_KEYS: Final = 2000
_ANSWER_SECONDS: Final = 1.0
_OF_AN_EXECUTION: Final = ("live", "claim", "execution", "message")


def queues_of(app: Celery, worker_name: str) -> set[str]:
    """Name the queues that the worker takes from, and those that the app's settings and packs name."""
    found = {str(app.conf.task_default_queue), *app.amqp.queues}
    state = state_of(app)
    found |= set(state.loaded.settings.routes.values())
    found |= {action.queue for action in state.registry.actions if action.queue}
    answers = app.control.broadcast(
        "active_queues", destination=[worker_name], reply=True, timeout=_ANSWER_SECONDS, limit=1
    )
    for answer in answers or ():
        for queues in answer.values():
            found |= {str(queue["name"]) for queue in queues if isinstance(queue, dict) and "name" in queue}
    return found


class RedisBrokerKeys:
    """Queues, what was taken and not acknowledged, bindings, and answers to control commands."""

    def __init__(self, app: Celery, worker_name: str) -> None:
        """Ask nothing yet."""
        self._app = app
        self._worker_name = worker_name
        self._keys: list[str] = []
        self._redis: BrokerRedis | None = None

    def open(self) -> None:
        """Ask which queues are in use."""
        broker = broker_redis(self._app)
        queues = queues_of(self._app, self._worker_name)
        control: Any = self._app.control  # its stubs leave the mailbox out
        mailbox = control.mailbox
        exchanges = {mailbox.exchange.name, mailbox.reply_exchange.name, str(self._app.conf.event_exchange), *queues}
        bindings = (f"_kombu.binding{kind}.{each}" for each in sorted(exchanges) for kind in ("", "_permanent"))
        self._keys = [f"{broker.prefix}{key}" for key in broker.unacked]
        self._keys += [key for queue in sorted(queues) for key in broker.queue_keys(queue)]
        self._bindings = [f"{broker.prefix}{key}" for key in bindings]
        self._replies = f"{glob_escaped(broker.prefix)}*.{glob_escaped(mailbox.reply_exchange.name)}"
        self._redis = broker

    def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            close_client(self._redis.client)

    def read(self, executions: Sequence[Watched], sweep: float) -> Iterator[Place]:  # noqa: ARG002 - messages have no key of their own
        """Give messages; with a `sweep`, bindings and answers to control commands, too."""
        if self._redis is None:
            return
        client = self._redis.client
        for key in self._keys:
            yield from _places(client, key)
        if sweep:
            for key in self._bindings:
                yield from _places(client, key)
            yield from _scanned(client, self._replies, sweep)

    def extent(self) -> str:
        """Say how much stands at the keys of queues, and at those of what was taken from them."""
        if self._redis is None:
            return "nothing"
        return f"{sum(length(self._redis.client, key) for key in self._keys)} messages, and what belongs to them"


class RedisBackendKeys:
    """The tasks' results, and all within our prefix: claims, streams, notes."""

    def __init__(self, app: Celery) -> None:
        """Ask nothing yet."""
        self._app = app
        self._client: Any = None
        self._state: SharedState | None = None

    def open(self) -> None:
        """Make clients for the backend, and for shared state."""
        self._client = backend_client(self._app)
        state = shared_state(self._app)
        self._state = state.by(impatient(state.client)) if state is not None else None

    def close(self) -> None:
        """Close the connections."""
        for client in (self._client, self._state.client if self._state is not None else None):
            if client is not None:
                close_client(client)

    def read(self, executions: Sequence[Watched], sweep: float) -> Iterator[Place]:
        """Give what is the executions' own; with a `sweep`, then all within our prefix."""
        backend: Any = self._app.backend
        for each in executions:
            if self._client is not None:
                yield from _places(self._client, backend.get_key_for_task(each.task_id))
            if self._state is not None:
                for kind in _OF_AN_EXECUTION:
                    yield from _places(self._state.client, self._state.key(kind, each.execution_id))
        if sweep and self._state is not None:
            yield from _scanned(self._state.client, f"{glob_escaped(self._state.prefix)}*", sweep)

    def extent(self) -> str:
        """Say how many keys there are: those of others are not looked at, but have to be passed by."""
        client = self._state.client if self._state is not None else self._client
        return f"a database of {client.dbsize()} keys" if client is not None else "nothing"


def _scanned(client: Any, pattern: str, seconds: float) -> Iterator[Place]:
    for found in scan(client, pattern, _KEYS, seconds):
        if found is None:
            yield Place(f"keys {pattern}", b"", is_cut=True)
        else:
            yield from _places(client, found)


def _places(client: Any, key: str | bytes) -> Iterator[Place]:
    shown = shown_key(key)
    has_any = False
    for entry in read_key(client, key):
        has_any = True
        yield Place(f"key {shown}, {entry.where}", entry.data, entry.is_cut)
    if has_any:
        yield Place(f"the name of key {shown}", key if isinstance(key, bytes) else key.encode())
