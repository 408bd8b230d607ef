"""leak-check's look at the tables: the record of each execution, and what django-celery-results has of its task."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import django
from django.apps import apps
from django.db import connections

from attune_tasks._celery.leaks.base import CelerySurface
from attune_tasks._celery.leaks.in_time import in_time, say
from attune_tasks.contrib.django.options import RECORDS_SURFACE
from attune_tasks.leaks import Row, Seeker, Surface, Watched

__all__ = ["RecordsSurface", "make_surface"]

_LOOK_SECONDS: Final = 0.5
_READ_SECONDS: Final = 2.0
_REST_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1
_FAILURES: Final = 3


def make_surface(app: Any, seeker: Seeker) -> Surface:  # noqa: ARG001 - as the scanner calls it
    """Set Django up in the scanner, and give the surface."""
    django.setup()
    return RecordsSurface(seeker)


class RecordsSurface(CelerySurface):
    """Reads all columns of the executions' rows, whatever they are for."""

    def __init__(self, seeker: Seeker) -> None:
        """Read nothing yet."""
        super().__init__(RECORDS_SURFACE, seeker)
        self._looked = 0.0
        self._failures = 0
        self._fault = ""
        self._ended: set[int] = set()

    def look(self, executions: Sequence[Watched]) -> None:
        """Read the rows that are there."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._read(executions)

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Wait for the rows of those which are over, and read them."""
        deadline = time.monotonic() + _REST_SECONDS
        self._failures = 0  # it may have come back
        while True:
            self._read(executions)
            missing = [each for each in executions if each.is_over and each.execution_id not in self._ended]
            if not missing or self._failures >= _FAILURES or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        why = (
            f"the database can't be read ({self._fault})" if self._fault else "the end of an execution is not recorded"
        )
        for runtime in dict.fromkeys(each.runtime for each in missing):
            self._not_looked_at(f"{why}: see ATTUNE_TASKS['django']['record'], and the worker's log", runtime)
        return super().end(executions)

    def _read(self, executions: Sequence[Watched]) -> None:
        if self._failures >= _FAILURES or not executions:
            return
        by_id = {each.execution_id: each.task_id for each in executions}
        try:
            found, ended = in_time(partial(_rows, by_id), _READ_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever a database raises: its text may quote a value
            self._failures += 1
            self._fault = say(error)
            return
        self._fault = ""
        self._ended |= ended
        for where, text in found:
            self._search(text, where)


def _rows(by_id: dict[int, str]) -> tuple[list[tuple[str, str]], set[int]]:
    """Give each column's text with its place, and the executions whose end is recorded."""
    from attune_tasks.contrib.django.models import FINAL, Execution

    found: list[tuple[str, str]] = []
    ended: set[int] = set()
    try:
        for row in Execution.objects.filter(execution_id__in=by_id).values():
            found += _columns("attune_tasks_execution", row)
            if row["status"] in FINAL:
                ended.add(row["execution_id"])
        if apps.is_installed("django_celery_results"):
            results = apps.get_model("django_celery_results", "TaskResult").objects
            for row in results.filter(task_id__in=by_id.values()).values():
                found += _columns("django_celery_results_taskresult", row)
    finally:
        connections.close_all()  # the thread is this one look's
    return found, ended


def _columns(table: str, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield f"table {table}, column {name}, row {row['id']}", text
