"""The surfaces of leak-check that Celery, its broker, its result backend and its monitors have."""

from attune_tasks._celery.leaks.controls import CONTROLS, Control, remove_parked, send_control
from attune_tasks._celery.leaks.log import LogSurface
from attune_tasks._celery.leaks.surfaces import celery_surfaces

__all__ = ["CONTROLS", "Control", "LogSurface", "celery_surfaces", "remove_parked", "send_control"]
