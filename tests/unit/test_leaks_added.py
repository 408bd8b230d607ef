"""The surfaces that a web framework adds."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from celery import Celery

from attune_tasks._celery.leaks.added import added_surfaces
from attune_tasks.leaks import ValueSeeker, Watched

WATCHED = Watched(7, "t7", "python")


def test_one_that_can_not_be_made_says_so_by_its_name_and_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        msg = "postgres://shop:a-password@db"
        raise RuntimeError(msg)

    module = ModuleType("framework_of_a_test")
    module.make = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "framework_of_a_test", module)
    makers = {"its records": "framework_of_a_test:make", "its pages": "no_module_of_a_test:make"}
    surfaces = added_surfaces(makers, Celery(set_as_current=False), ValueSeeker())
    for surface in surfaces:
        surface.begin()
    rows = [row for surface in surfaces for row in surface.end([WATCHED])]
    assert [(row.surface, row.verdict) for row in rows] == [(name, "not looked at") for name in makers]
    for row, error in zip(rows, ["RuntimeError", "ModuleNotFoundError"], strict=True):
        assert error in row.why
    assert "a-password" not in str(rows)
