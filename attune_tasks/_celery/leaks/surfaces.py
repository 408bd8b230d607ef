"""All surfaces of Celery for one app and one of its workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from celery import Celery
from celery.backends.base import KeyValueStoreBackend

from attune_tasks._celery.embedded import EMBEDDED_DRIVER
from attune_tasks._celery.leaks.events import EventsSurface
from attune_tasks._celery.leaks.flower import FlowerSurface
from attune_tasks._celery.leaks.folder_keys import EmbeddedBackendKeys, EmbeddedBrokerKeys, ValueKeys
from attune_tasks._celery.leaks.inspecting import InspectSurface
from attune_tasks._celery.leaks.keys import KeySource, KeysSurface, Place
from attune_tasks._celery.leaks.live import LiveSurface
from attune_tasks._celery.leaks.log import LogSurface
from attune_tasks._celery.leaks.monitor import MonitorSurface
from attune_tasks._celery.leaks.pubsub import PubSubSurface
from attune_tasks._celery.leaks.redis_keys import RedisBackendKeys, RedisBrokerKeys
from attune_tasks._celery.leaks.redis_places import broker_driver
from attune_tasks._celery.leaks.results import ErrorSurface, ResultSurface
from attune_tasks._celery.shared_state import is_redis, shared_state
from attune_tasks.errors import AttuneTasksError
from attune_tasks.leaks import Seeker, Surface, Watched

__all__ = ["celery_surfaces"]


def celery_surfaces(  # noqa: PLR0913 - what a user may say
    app: Celery,
    seeker: Seeker,
    worker_name: str,
    *,
    own_redis: bool = False,
    flower: str | None = None,
    main_pid: int = 0,
) -> list[Surface]:
    """Give them, in the order of the table; nothing is connected yet.

    `worker_name` is ``name@host``, and `main_pid` its main process, where it is on this machine. `own_redis` allows
    MONITOR. `flower` is an address, with ``user:password@`` where need be; None: its usual one is tried.
    """
    return [
        _broker_keys(app, seeker, worker_name),
        _backend_keys(app, seeker),
        PubSubSurface(app, seeker),
        MonitorSurface(app, seeker, own_redis=own_redis),
        EventsSurface(app, seeker),
        InspectSurface(app, seeker, worker_name),
        ResultSurface(app, seeker),
        ErrorSurface(app, seeker),
        LiveSurface(app, seeker),
        LogSurface(seeker, main_pid),
        FlowerSurface(seeker, worker_name, flower),
    ]


def _broker_keys(app: Celery, seeker: Seeker, worker_name: str) -> KeysSurface:
    driver = broker_driver(app)
    source: KeySource | None = None
    if driver == "redis":
        source = RedisBrokerKeys(app, worker_name)
    elif driver == EMBEDDED_DRIVER:
        source = EmbeddedBrokerKeys(Path(app.conf.broker_transport_options["folder"]))
    why = f"a broker of the kind {driver} can't be read without taking its messages: look at it by its own tools"
    return KeysSurface("broker keys", seeker, source, "" if source else why)


def _backend_keys(app: Celery, seeker: Seeker) -> KeysSurface:
    backend: Any = app.backend
    kind = type(backend).__name__
    sources: list[KeySource] = [RedisBackendKeys(app)]  # shared state may be a Redis where the backend is none
    if kind == "EmbeddedBackend":
        sources.append(EmbeddedBackendKeys(app))
    elif isinstance(backend, KeyValueStoreBackend) and not is_redis(backend):
        sources.append(ValueKeys(app))
    elif not is_redis(backend):
        why = f"a {kind} has no keys: what is stored of a task, the surface `result` reads"
        return KeysSurface("backend keys", seeker, sources[0] if _has_shared_state(app) else None, why)
    return KeysSurface("backend keys", seeker, _Several(sources))


def _has_shared_state(app: Celery) -> bool:
    try:
        return shared_state(app) is not None
    except AttuneTasksError:  # a worker with such settings does not start
        return False


class _Several:
    def __init__(self, sources: Sequence[KeySource]) -> None:
        self._sources = sources

    def open(self) -> None:
        for source in self._sources:
            source.open()

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def read(self, executions: Sequence[Watched], sweep: float) -> Iterator[Place]:
        for source in self._sources:
            yield from source.read(executions, sweep)

    def extent(self) -> str:
        return " and ".join(source.extent() for source in self._sources)
