"""Celery settings that suit a worker of actions, where nobody says otherwise.

The ready-made app has all of them. An app of the user's own gets, when a worker of it starts, those that change nothing
for its other tasks but when they begin and what is told of them; whatever the user set, in whatever way, stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click
from celery import Celery, signals
from celery.app.defaults import NAMESPACES, flatten
from click.core import ParameterSource

from attune_tasks.errors import SettingsError
from attune_tasks.nearest import did_you_mean

__all__ = [
    "OWN_APP_DEFAULTS",
    "WORKER_DEFAULTS",
    "fill_in",
    "known_celery_settings",
    "redis_transport_options",
]

WORKER_DEFAULTS: Final[Mapping[str, Any]] = {
    "worker_prefetch_multiplier": 1,  # executions are long: none should wait behind one while another slot is free
    "worker_send_task_events": True,
    "task_send_sent_event": True,
    "worker_soft_shutdown_timeout": 10.0,  # seconds; from a second signal on
    "broker_connection_retry_on_startup": True,
    # Seconds. Without these a client waits for ever on a connection that a firewall dropped.
    "redis_socket_timeout": 30.0,
    "redis_socket_keepalive": True,
    "redis_backend_health_check_interval": 25,
}
"""For every worker."""

OWN_APP_DEFAULTS: Final[Mapping[str, Any]] = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    "event_serializer": "json",
    "result_extended": False,  # it would store the arguments with the result
    "task_track_started": True,  # run_action has it by itself
    "worker_cancel_long_running_tasks_on_connection_loss": True,  # concerns late acks only; silences a warning
}
"""For the ready-made app alone: they would change what a user's other tasks accept, store, and do."""

_REDIS_TRANSPORT: Final[Mapping[str, Any]] = {
    "socket_timeout": 30.0,
    "socket_keepalive": True,
    "health_check_interval": 25,
}
_OUTLIVE: Final = "broker_channel_error_retry"
_CANCEL: Final = "worker_cancel_long_running_tasks_on_connection_loss"


def redis_transport_options(url: str | None) -> dict[str, Any]:
    """Give options for a broker at `url`; none for another one than Redis."""
    return dict(_REDIS_TRANSPORT) if str(url).startswith(("redis:", "rediss:")) else {}


def fill_in(app: Celery) -> None:
    """Give `app` the defaults for its worker, but nothing that its user set."""
    conf: Any = app.conf
    wanted = dict(WORKER_DEFAULTS)
    if not conf.task_acks_late and not any(task.acks_late for task in app.tasks.values()):
        wanted[_CANCEL] = True  # then it concerns nothing here, and a warning is gone
    # Celery's add_defaults() puts its values before those of config_from_object(): so only what is not set.
    conf.add_defaults({name: value for name, value in wanted.items() if not conf.value_set_for(name)})
    options = redis_transport_options(conf.broker_read_url)
    if options:
        # A Redis that can't write to its disk answers with errors, after which the worker would end. Of another broker
        # such an error may be one for good.
        if not conf.value_set_for(_OUTLIVE):
            conf.add_defaults({_OUTLIVE: True})
        conf.broker_transport_options = options | dict(conf.broker_transport_options or {})


def known_celery_settings(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give `values` back. Raises SettingsError for names that Celery does not have: it would ignore them."""
    known = set(dict(flatten(NAMESPACES)))
    problems = [
        f"celery.{name}: Celery has no such setting{did_you_mean(name, known)}" for name in values if name not in known
    ]
    if problems:
        raise SettingsError(problems=problems)
    return values


@signals.celeryd_init.connect
def fill_in_before_start(instance: Any, **_: Any) -> None:
    """Do so after the user's modules were imported, and before the worker reads its settings."""
    fill_in(instance.app)


@signals.worker_init.connect
def take_prefetch_multiplier(sender: Any, **_: Any) -> None:
    """Give the worker the multiplier that is set by now.

    Celery's command line reads the setting earlier than anything of ours is imported, and hands it on as if it had been
    typed. What was typed stays.
    """
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source("prefetch_multiplier") if context else None
    if source is ParameterSource.DEFAULT:
        sender.prefetch_multiplier = int(sender.app.conf.worker_prefetch_multiplier)
