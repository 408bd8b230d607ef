"""All surfaces that a scanner looks at, in the order of the table."""

from __future__ import annotations

from pathlib import Path

from attune_tasks._celery.leaks.scanner_task import ScannerTask
from attune_tasks._celery.leaks.surfaces import celery_surfaces
from attune_tasks._celery.per_app import state_of
from attune_tasks.leaks import Surface, ValueSeeker
from attune_tasks.leaks.file_surfaces import file_surfaces
from attune_tasks.leaks.processes import process_surfaces

__all__ = ["all_surfaces"]


def all_surfaces(task: ScannerTask, seeker: ValueSeeker) -> list[Surface]:
    """Give them; nothing is looked at yet."""
    return [
        *process_surfaces(seeker),
        *file_surfaces(seeker, sources=_sources(task)),
        *celery_surfaces(
            task.app,
            seeker,
            task.worker,
            own_redis=task.own_redis,
            flower=task.flower,
            main_pid=task.main_pid,
        ),
    ]


def _sources(task: ScannerTask) -> list[Path]:
    """Give the files that secrets come from: what stands there is no leak."""
    path = state_of(task.app).loaded.settings.secrets.file.path
    return [path] if path else []
