"""What the self-test tells of each control."""

from __future__ import annotations

from attune_tasks._celery.leaks.self_test import Caught, _caught, _fault_of
from attune_tasks.leaks import Hit, Row
from attune_tasks.result import ExecutionResult

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


def test_what_a_control_leaks_in_its_error_is_not_told() -> None:
    error = {"type": "action_failed", "message": "yranac"}
    failed = ExecutionResult(7, "leak_controls.reversed_error", "failed", error=error)
    assert _fault_of("leak_controls.reversed_error", failed) == ""
    assert _fault_of("leak_controls.memory", failed) == "failed: yranac"
