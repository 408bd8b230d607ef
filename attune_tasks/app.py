"""The ready-made Celery app: ``celery -A attune_tasks.app worker``.

Broker and backend come from the settings ``broker_url`` and ``result_backend``; Celery's own variables
CELERY_BROKER_URL and CELERY_RESULT_BACKEND win over them, as in every Celery app; with neither, the embedded default
serves, which needs no server. The setting ``celery`` takes every other of Celery's, by its name, and wins over what is
set here.
"""

from __future__ import annotations

from typing import Final

from celery import Celery

from attune_tasks._celery.making_app import make_app

__all__ = ["app", "create_app"]


def create_app() -> Celery:
    """Make the app from the settings. Raises SettingsError."""
    return make_app()


app: Final = create_app()
