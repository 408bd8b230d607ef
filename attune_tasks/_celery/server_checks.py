"""What `attune-tasks doctor` asks of broker, result backend and shared state beside whether they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery import Celery

from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.shared_state import shared_state
from attune_tasks.errors import SettingsError

if TYPE_CHECKING:
    from attune_tasks.packs import PackRegistry
    from attune_tasks.settings import Settings

__all__ = [
    "check_broker",
    "check_memory_policy",
    "check_results",
    "check_visibility",
    "describe_shared_state",
    "describe_signing",
]

_TASK: Final = "attune_tasks.run_action"
_POLICY: Final = "noeviction"
_LOST_IN_A_CRASH: Final = {
    "always": "loses nothing",
    # It writes each second, and where the disk is slow it waits for one that is under way, for a second more.
    "everysec": "loses up to 2 s of it",
    "no": "loses what the system has not written yet, about 30 s of it",
}


def check_memory_policy(client: Any) -> None:
    """Raise SettingsError where this Redis may throw keys away when its memory is full: messages, results, state."""
    policy = client.info("memory").get("maxmemory_policy", _POLICY)  # INFO is allowed where CONFIG often is not
    if policy != _POLICY:
        msg = (
            f"this Redis has the maxmemory-policy {policy}, by which it loses messages and results when it is full:"
            f" write `maxmemory-policy {_POLICY}` in its redis.conf"
        )
        raise SettingsError(msg)


def check_broker(connection: Any) -> None:
    """Raise SettingsError for a broker that answers, and yet won't do. `connection` is open, and kombu's."""
    if connection.transport.driver_type == "redis":
        check_memory_policy(connection.default_channel.client)


def check_visibility(connection: Any, registry: PackRegistry, settings: Settings, *, claimed: bool) -> str:
    """Say how long the broker waits before it delivers a message again, and how long actions may run.

    Raises SettingsError where that is longer and executions are not `claimed`: such an action may run twice.
    """
    if connection.transport.driver_type != "redis":
        return "this broker delivers again only what a lost worker had"
    given = float(connection.default_channel.visibility_timeout)
    if claimed:
        return f"{given:g} s; a message that comes again is dropped, for executions are claimed"
    limits = [action.timeout if action.timeout is not None else settings.timeout for action in registry.actions]
    longest = _longest([*limits, settings.timeout])
    if longest is not None and longest <= given:
        return f"{given:g} s, and no action runs longer than {longest:g} s"
    runs = "some actions have no timeout" if longest is None else f"an action may run for {longest:g} s"
    wanted = "more than they ever take" if longest is None else f"{longest:g} or more"
    msg = (
        f"the broker's visibility timeout is {given:g} s, and {runs}: set visibility_timeout in"
        f" broker_transport_options to {wanted}, for every worker and client of this broker"
    )
    raise SettingsError(msg)


def check_results(app: Celery) -> str:
    """Raise SettingsError where the results of executions are not kept."""
    import attune_tasks.tasks  # noqa: F401 - registers the task

    conf: Any = app.conf
    if conf.task_ignore_result or app.tasks[_TASK].ignore_result:
        where = "task_ignore_result" if conf.task_ignore_result else f"ignore_result of {_TASK} (task_annotations)"
        msg = f"{where} is true, so results are thrown away: leave it out, and set it on the tasks that have none"
        raise SettingsError(msg)
    if type(app.backend).__name__ == "DisabledBackend":
        msg = "there is no result backend: set result_backend"
        raise SettingsError(msg)
    expires = conf.result_expires
    seconds = expires.total_seconds() if hasattr(expires, "total_seconds") else expires
    return f"kept for {float(seconds):g} s" if seconds else "kept for ever"


def describe_shared_state(app: Celery) -> str:
    """Say where shared state is. Raises SettingsError for a Redis that may lose it."""
    state = shared_state(app)
    if state is None:
        return (
            "none, for the result backend is no Redis: no claims, so a lost worker's execution stays as it is; no"
            " retry, concurrency and idempotency_key; output can't be followed; an execution_id that waits can be given"
            " again (see state_url)"
        )
    check_memory_policy(state.client)
    settings = state_of(app).loaded.settings
    on = f"claims expire after {settings.claims.expiry:g} s"
    claims = on if settings.claims.enabled else "no claims, for claims.enabled is false"
    live = "" if settings.live.enabled else "; output can't be followed, for live.enabled is false"
    return f"Redis, keys {state.key('…')}; {_persistence(state.client)}; {claims}{live}"


def _persistence(client: Any) -> str:
    """Say what of it a restart leaves: claims hold as far as that."""
    try:
        info = client.info("persistence")
        rules = client.config_get("save").get("save", "")
        fsync = client.config_get("appendfsync").get("appendfsync", "")
    except Exception:  # noqa: BLE001 - a managed server that does not tell
        return "whether a restart keeps it is not told"
    if info.get("aof_enabled"):
        loses = _LOST_IN_A_CRASH.get(fsync, "loses what is not written yet")
        return f"a restart keeps it (append-only file), a crash {loses} (appendfsync {fsync})"
    return "a restart loses what came since its last snapshot" if rules else "a restart loses all of it"


def describe_signing(app: Celery) -> str:
    """Say whether messages are signed. Raises SettingsError where the keys can't be read."""
    state = state_of(app)
    settings = state.loaded.settings
    keys = state.message_keys
    if not keys:
        return "off: whoever can write to the broker can run actions (see message_key_file)"
    if app.conf.task_protocol != 2:  # noqa: PLR2004 - Celery's
        msg = "task_protocol is 1, whose messages have no headers, so none can be signed: leave it out"
        raise SettingsError(msg)
    count = "1 key" if len(keys) == 1 else f"{len(keys)} keys, the first of which signs,"
    return f"on: {count} in {settings.message_key_file}; a message may wait for {settings.message_lifetime:g} s"


def _longest(limits: list[float | None]) -> float | None:
    return None if None in limits else max(limit for limit in limits if limit is not None)
