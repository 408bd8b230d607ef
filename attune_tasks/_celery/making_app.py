"""Celery apps that are made here: the ready-made one, and that of a web framework's application."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from celery import Celery, Task

from attune_tasks._celery.worker_defaults import (
    OWN_APP_DEFAULTS,
    WORKER_DEFAULTS,
    known_celery_settings,
    redis_transport_options,
)
from attune_tasks.settings import load_settings

__all__ = ["make_app", "make_framework_app"]


def make_app(name: str = "attune_tasks", app_settings: Mapping[str, Any] | None = None, task_cls: Any = None) -> Celery:
    """Make an app whose broker and backend the settings name; the embedded ones where they don't.

    `app_settings` are those of ours that the application has; `task_cls` is the class of its own tasks. Raises
    SettingsError.
    """
    settings = load_settings(app_settings=app_settings).settings
    broker = os.environ.get("CELERY_BROKER_URL") or settings.broker_url
    backend = os.environ.get("CELERY_RESULT_BACKEND") or settings.result_backend
    made = Celery(name, task_cls=task_cls)
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
    for setting, value in own.items():
        ours = made.conf.get(setting)
        made.conf[setting] = {**ours, **value} if isinstance(ours, Mapping) and isinstance(value, Mapping) else value
    return made


def make_framework_app(
    name: str,
    celery_settings: Mapping[str, Any] | None,
    app_settings: Mapping[str, Any] | None,
    in_context: Callable[[], AbstractContextManager[Any]],
) -> Celery:
    """Make the app of a web framework's application, and the default one of this process.

    `celery_settings` are Celery's own; None: broker and backend come from our settings. The application's own tasks
    run within `in_context()`; an action needs nothing of the application. Raises SettingsError.
    """
    if celery_settings is None:
        made = make_app(name, app_settings, _task_class(in_context))
    else:
        made = Celery(name, task_cls=_task_class(in_context))
        made.config_from_object(dict(celery_settings))
    made.set_default()
    return made


def _task_class(in_context: Callable[[], AbstractContextManager[Any]]) -> type[Any]:
    class ContextTask(Task[Any, Any]):
        abstract = True

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            with in_context():
                return self.run(*args, **kwargs)

    return ContextTask
