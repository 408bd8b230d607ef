"""The ready-made Celery app: ``celery -A attune_tasks.app worker``.

Broker and backend come from the settings ``broker_url`` and ``result_backend``; Celery's own variables
CELERY_BROKER_URL and CELERY_RESULT_BACKEND win over them, as in every Celery app; with neither, the embedded default
serves, which needs no server. The setting ``celery`` takes every other of Celery's, by its name, and wins over what is
set here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from celery import Celery

from attune_tasks._celery.worker_defaults import (
    OWN_APP_DEFAULTS,
    WORKER_DEFAULTS,
    known_celery_settings,
    redis_transport_options,
)
from attune_tasks.settings import load_settings

__all__ = ["app", "create_app"]


def create_app() -> Celery:
    """Make the app from the settings. Raises SettingsError."""
    settings = load_settings().settings
    broker = os.environ.get("CELERY_BROKER_URL") or settings.broker_url
    backend = os.environ.get("CELERY_RESULT_BACKEND") or settings.result_backend
    made = Celery("attune_tasks")
    made.conf.update(include=["attune_tasks.tasks"], **WORKER_DEFAULTS, **OWN_APP_DEFAULTS)
    if broker is not None:
        made.conf.update(broker_url=broker, broker_transport_options=redis_transport_options(broker))
    if backend is not None:
        made.conf.update(result_backend=backend)
    if broker is None or backend is None:
        from attune_tasks._celery.embedded import default_folder, embedded_broker_config, embedded_results_config

        folder = default_folder()
        made.conf.update(embedded_broker_config(folder) if broker is None else {})
        made.conf.update(embedded_results_config(folder) if backend is None else {})
    # What stands there for the broker's options goes beside ours, and wins where both say something.
    own = known_celery_settings(settings.celery)
    for name, value in own.items():
        ours = made.conf.get(name)
        made.conf[name] = {**ours, **value} if isinstance(ours, Mapping) and isinstance(value, Mapping) else value
    return made


app: Final = create_app()
