"""All surfaces that a scanner looks at, in the order of the table."""

from __future__ import annotations

from attune_tasks._celery.leaks.scanner_task import ScannerTask
from attune_tasks._celery.leaks.surfaces import celery_surfaces
from attune_tasks.leaks import Surface, ValueSeeker
from attune_tasks.leaks.processes import process_surfaces

__all__ = ["all_surfaces"]


def all_surfaces(task: ScannerTask, seeker: ValueSeeker) -> list[Surface]:
    """Give them; nothing is looked at yet."""
    return [
        *process_surfaces(seeker),
        *celery_surfaces(
            task.app,
            seeker,
            task.worker,
            own_redis=task.own_redis,
            flower=task.flower,
            main_pid=task.main_pid,
        ),
    ]
