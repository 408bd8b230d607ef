"""leak-check's surface of Django's tables: clean where nothing is, a leak where one was planted, else why not."""

from __future__ import annotations

from typing import Any

import pytest

from attune_tasks.ids import task_id_of
from attune_tasks.leaks import Row, ValueSeeker, Watched
from tests.django_site import Site, set_up_django

set_up_django()

from attune_tasks._celery.leaks.added import makers_of_added  # noqa: E402 - beside those that need settings
from attune_tasks.contrib.django import connecting, leak_surface  # noqa: E402 - needs settings
from attune_tasks.contrib.django.models import Execution  # noqa: E402
from attune_tasks.contrib.django.options import RECORDS_SURFACE  # noqa: E402

CANARY = "Zq7canaryXw2Lm"


def _rows(*, make: bool = True, **fields: Any) -> list[Row]:
    seeker = ValueSeeker()
    seeker.add(7, {"canary_short": CANARY})
    surface = leak_surface.RecordsSurface(seeker)
    watched = Watched(7, task_id_of(7), "python")
    surface.begin()
    if make:
        given = {"action": "work.add", "status": "succeeded", **fields}
        Execution.objects.create(execution_id=7, task_id=task_id_of(7), **given)
    surface.look([watched])
    watched.is_over = True
    return list(surface.end([watched]))


def test_a_record_that_is_masked_is_clean(django_site: Site) -> None:
    (row,) = _rows(stdout="out ***", result={"key": "***"}, parameters={"key": "work/api#api_key"})
    assert (row.surface, row.runtime, row.verdict) == ("Django records", "python", "clean")


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"stdout": CANARY[::-1]}, "stdout"),
        ({"stderr": CANARY}, "stderr"),
        ({"result": {"list": [{"key": CANARY}]}}, "result"),
        ({"parameters": {"note": CANARY}}, "parameters"),
        ({"error": {"type": "failed", "message": CANARY[::-1]}}, "error"),
        ({"caller": CANARY}, "caller"),
        ({"receipts": [{"name": CANARY}]}, "receipts"),
    ],
)
def test_a_secret_in_any_column_is_a_leak(django_site: Site, fields: dict[str, Any], column: str) -> None:
    (row,) = _rows(**fields)
    assert row.verdict == "LEAK"
    assert f"table attune_tasks_execution, column {column}," in row.hits[0].where
    assert CANARY not in str(row)


@pytest.mark.parametrize("fields", [{"make": False}, {"status": "running"}])
def test_an_end_that_is_not_recorded_was_not_looked_at(
    django_site: Site, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setattr(leak_surface, "_REST_SECONDS", 0.2)
    (row,) = _rows(**fields)
    assert row.verdict == "not looked at"
    assert "the end of an execution is not recorded" in row.why


def test_a_database_that_is_away_was_not_looked_at(django_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Execution._meta, "db_table", "gone")
    (row,) = _rows(make=False)
    assert row.verdict == "not looked at"
    assert "the database can't be read (OperationalError" in row.why


def test_a_worker_has_the_surface_while_the_app_is_connected(django_site: Site) -> None:
    assert RECORDS_SURFACE in makers_of_added()
    connecting.disconnect()
    assert RECORDS_SURFACE not in makers_of_added()
