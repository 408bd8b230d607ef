"""Where executions share state: a Redis, by default the result backend's, and the names of our keys there.

Every key is ``attune:{<name>}:…``, the name being the Celery app's or the setting ``state_name``: apps that share a
database do not see each other's, and the braces are a hash tag, so that a script's keys are in one slot of a cluster.
Nothing here puts Celery's ``global_keyprefix`` in front by itself; it is done here, as the result backend does it.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import SettingsError

__all__ = ["SharedState", "is_redis", "shared_state"]

_ATTRIBUTE: Final = "_attune_tasks_state_backend"
_lock: Final = threading.Lock()


class SharedState:
    """A client, and our part of its database."""

    __slots__ = ("client", "prefix")

    def __init__(self, client: Any, name: str, global_keyprefix: str = "") -> None:
        """Take a client of the package ``redis``; its pool notices a fork, and connects anew in the child."""
        self.client = client
        joint = "_" if global_keyprefix and global_keyprefix[-1] not in ":_-." else ""  # as the result backend does
        self.prefix = f"{global_keyprefix}{joint}attune:{{{name}}}:"

    def by(self, client: Any) -> SharedState:
        """Give the same part of the database by another client."""
        other = SharedState(client, "")
        other.prefix = self.prefix
        return other

    def key(self, *parts: object) -> str:
        """Name one of our keys: its parts are joined by colons."""
        return self.prefix + ":".join(map(str, parts))


def shared_state(app: Celery) -> SharedState | None:
    """Give where `app`'s executions share state; None where neither ``state_url`` nor the result backend is Redis.

    Nothing is connected yet. Ask anew in each process and thread. Raises SettingsError.
    """
    settings = state_of(app).loaded.settings
    backend: Any = app.backend if settings.state_url is None else _own_backend(app, settings.state_url)
    if not is_redis(backend):
        return None
    name = settings.state_name or str(app.main or "default").translate({ord("{"): "(", ord("}"): ")"})
    options = app.conf.get("result_backend_transport_options") or {}
    return SharedState(backend.client, name, options.get("global_keyprefix") or "")


def is_redis(backend: Any) -> bool:
    """Say whether a result backend is Redis."""
    # By the class's family, without importing the package `redis`, which a client may not have.
    return any(
        f"{each.__module__}.{each.__name__}" == "celery.backends.redis.RedisBackend" for each in type(backend).mro()
    )


def _own_backend(app: Celery, url: str) -> Any:
    """Make a result backend of ``state_url``, once per process, for its client: it knows TLS and Sentinel."""
    from celery.app import backends

    by_url: Any = backends.by_url  # its stub says that it gives a class alone
    with _lock:
        kept = app.__dict__.get(_ATTRIBUTE)
        if kept is None or kept[0] != os.getpid():
            made = None
            try:
                made_by, address = by_url(url, app.loader)
                made = made_by(app=app, url=address)
            except Exception:  # noqa: BLE001 - Celery's own of any kind; the text may quote the URL
                made = None
            if not is_redis(made):
                msg = "state_url: expected a Redis, as redis://…, rediss://… or sentinel://…, and the package redis"
                raise SettingsError(msg)
            kept = app.__dict__[_ATTRIBUTE] = (os.getpid(), made)
        return kept[1]
