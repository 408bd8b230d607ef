"""A client of shared state that gives up soon: nothing that an execution says is worth waiting for."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["GIVE_UP_SECONDS", "impatient"]

GIVE_UP_SECONDS: Final = 0.5
"""For connecting, and for an answer."""


def impatient(client: Any) -> Any:
    """Make a client like `client`, of the package ``redis``, which waits for half a second and tries nothing twice.

    What is tried again after its time was over might be done twice.
    """
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    pool = client.connection_pool
    options = {
        **pool.connection_kwargs,
        "socket_timeout": GIVE_UP_SECONDS,
        "socket_connect_timeout": GIVE_UP_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_timeout": False,
    }
    arguments: tuple[Any, ...] = ()
    if hasattr(pool, "sentinel_manager"):
        arguments = (pool.service_name, pool.sentinel_manager)
        options |= {"is_master": pool.is_master, "check_connection": pool.check_connection}
        options.pop("connection_pool", None)  # the other pool's own
    made = type(pool)(*arguments, connection_class=pool.connection_class, **options)
    return type(client)(connection_pool=made)
