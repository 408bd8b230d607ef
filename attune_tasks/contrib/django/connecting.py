"""What the app does to the process that it is in: it brings Django's settings, and hears of executions."""

from __future__ import annotations

from typing import Any

from django.core.signals import setting_changed

from attune_tasks._celery.leaks.added import add_surface, remove_surface
from attune_tasks._celery.observing import observe, stop_observing
from attune_tasks._celery.per_app import forget_states
from attune_tasks.contrib.django.options import NAME, ORIGIN, RECORDS_SURFACE, read_settings
from attune_tasks.contrib.django.recorder import RECORDER
from attune_tasks.settings import set_framework_settings

__all__ = ["connect", "disconnect"]


def connect() -> None:
    """Have ``ATTUNE_TASKS`` asked whenever settings are loaded, and executions recorded. Reads nothing yet."""
    set_framework_settings(ORIGIN, read_settings)
    observe(RECORDER)
    add_surface(RECORDS_SURFACE, "attune_tasks.contrib.django.leak_surface:make_surface")
    setting_changed.connect(_forget, dispatch_uid="attune_tasks")


def disconnect() -> None:
    """Undo :func:`connect`, for a process in which Django is not all that there is."""
    set_framework_settings(ORIGIN, None)
    stop_observing(RECORDER)
    remove_surface(RECORDS_SURFACE)
    setting_changed.disconnect(dispatch_uid="attune_tasks")
    forget_states()


def _forget(setting: str, **_: Any) -> None:
    """Have settings loaded anew that a test has changed by ``override_settings``."""
    if setting == NAME:
        forget_states()
