"""What the self-test tells of each control."""

from __future__ import annotations

from attune_tasks._celery.leaks.self_test import Caught, _caught
from attune_tasks.leaks import Hit, Row

ROWS = [
    Row("environ", "controls.a", "LEAK", "one was closed", (Hit("canary", "plain", "environ of sleep"),)),
    Row("memory", "controls.a", "not looked at", "it was not seen"),
    Row("files", "controls.a", "clean"),
]


def test_what_was_caught_is_told_with_its_place_and_what_was_not_with_all_that_is_known() -> None:
    told = [
        _caught(surface, "controls.a", ROWS, "failed: no root") for surface in ("environ", "memory", "files", "log")
    ]
    assert told == [
        Caught("environ", "controls.a", "LEAK", "environ of sleep"),
        Caught("memory", "controls.a", "not looked at", "it was not seen; failed: no root"),
        Caught("files", "controls.a", "clean", "failed: no root"),
        Caught("log", "controls.a", "clean", "this surface gave no row; failed: no root"),
    ]
