"""The ready-made Celery app: ``celery -A attune_tasks.app worker``.

Broker and backend come from the settings ``broker_url`` and ``result_backend``; Celery's own variables
CELERY_BROKER_URL and CELERY_RESULT_BACKEND win over them, as in every Celery app; with neither, the embedded default
serves, which needs no server.
"""

from __future__ import annotations

import os
from typing import Any, Final

from celery import Celery

from attune_tasks.settings import load_settings

__all__ = ["app", "create_app"]

_CONFIG: Final = {
    "include": ["attune_tasks.tasks"],
    "accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    "event_serializer": "json",
    "result_extended": False,  # it would store the arguments with the result
    "task_track_started": True,
    "task_send_sent_event": True,
    "worker_send_task_events": True,
    "worker_prefetch_multiplier": 1,  # executions are long: none should wait behind one while another slot is free
    "worker_soft_shutdown_timeout": 10.0,
    "worker_cancel_long_running_tasks_on_connection_loss": True,  # concerns late acks only; silences a warning
    "broker_connection_retry_on_startup": True,
}
_REDIS_OPTIONS: Final = {"socket_timeout": 30.0, "socket_keepalive": True, "health_check_interval": 25}
"""Seconds. Without them a client waits for ever on a connection that a firewall dropped."""


def create_app() -> Celery:
    """Make the app from the settings. Raises SettingsError."""
    settings = load_settings().settings
    broker = os.environ.get("CELERY_BROKER_URL") or settings.broker_url
    backend = os.environ.get("CELERY_RESULT_BACKEND") or settings.result_backend
    made = Celery("attune_tasks")
    made.conf.update(_CONFIG)
    made.conf.update(_urls("broker_url", "broker_transport_options", broker))
    made.conf.update(_urls("result_backend", "result_backend_transport_options", backend))
    if broker is None or backend is None:
        from attune_tasks._celery.embedded import default_folder, embedded_broker_config, embedded_results_config

        folder = default_folder()
        made.conf.update(embedded_broker_config(folder) if broker is None else {})
        made.conf.update(embedded_results_config(folder) if backend is None else {})
    return made


def _urls(name: str, options_name: str, url: str | None) -> dict[str, Any]:
    if url is None:
        return {}
    return {name: url} | ({options_name: _REDIS_OPTIONS} if url.startswith(("redis:", "rediss:")) else {})


app: Final = create_app()
