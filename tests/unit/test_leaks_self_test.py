"""What the self-test tells of each control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attune_tasks._celery.leaks.client import CheckResult
from attune_tasks._celery.leaks.controls import CONTROLS
from attune_tasks._celery.leaks.self_test import (
    Caught,
    _caught,
    _fault_of,
    _run_action,
    run_controls,
    to_be_tried_again,
)
from attune_tasks.leaks import Hit, Row
from attune_tasks.leaks.execution_trees import NONE_SEEN
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


def test_what_could_not_leak_is_not_missed_but_told() -> None:
    said = ("", "no core can be left in /var/crash: Permission denied")
    told = [_caught(surface, "controls.a", ROWS, *said) for surface in ("environ", "memory", "files")]
    assert told == [
        Caught("environ", "controls.a", "LEAK", "environ of sleep"),
        Caught("memory", "controls.a", "not looked at", "it was not seen"),
        Caught("files", "controls.a", "not looked at", said[1]),
    ]


@pytest.mark.parametrize(
    ("result", "could_not"),
    [({"could_not_leak": "no place"}, "no place"), ({"core_dumps": 1}, ""), (None, ""), ([1], "")],
)
def test_a_control_says_itself_that_it_could_not_leak(tmp_path: Path, result: Any, could_not: str) -> None:
    check: Any = Check()
    check.result = result
    said = _run_action(check, "leak_controls.environment", tmp_path)
    assert said == ("", could_not)


def test_what_a_control_leaks_in_its_error_is_not_told() -> None:
    error = {"type": "action_failed", "message": "yranac"}
    failed = ExecutionResult(7, "leak_controls.reversed_error", "failed", error=error)
    assert _fault_of("leak_controls.reversed_error", failed) == ""
    assert _fault_of("leak_controls.memory", failed) == "failed: yranac"


class Check:
    """Stands for the worker's side: what is missed, and how long, is a matter of load."""

    def __init__(self) -> None:
        """Have run nothing yet."""
        self.controls = [("leak_controls.environment", ["environ"]), ("leak_controls.main_memory", ["memory"])]
        self.ran: dict[str, Any] = {}
        self.result: Any = None
        self.sent: dict[str, tuple[str, int]] = {}

    def run(self, ref: str, parameters: dict[str, Any], **more: Any) -> ExecutionResult:
        """Note an action; of memory, tell what was gone through."""
        self.ran[ref] = (parameters, more["timeout"])
        if meanwhile := more["meanwhile"]:
            folder = Path(parameters["folder"])
            meanwhile({"main process memory": 5.0})
            (folder / "leaks").write_text("7.5")
            for begun in ({}, {"main process memory": 7.0}, {"launcher memory": 8.0}):
                meanwhile(begun)
                assert not (folder / "seen").exists()
            meanwhile({"main process memory": 7.5})
            assert (folder / "seen").exists()
        return ExecutionResult(7, ref, "succeeded", result=self.result)

    def send_control(self, number: int, label: str, timeout: float, seconds: int = 2) -> str:
        """Note a message."""
        assert timeout > seconds
        self.sent[label] = (CONTROLS[number].surface, seconds)
        return ""

    def end(self) -> CheckResult:
        """Have found nothing."""
        return CheckResult((), ())


def test_what_is_missed_is_tried_again_for_longer_a_message_too(tmp_path: Path) -> None:
    check: Any = Check()
    missed = run_controls(check, lambda _: None, tmp_path)
    assert {each.verdict for each in missed} == {"clean"}
    sent = dict(check.sent)
    assert {seconds for _, seconds in sent.values()} == {2}
    assert {"broker keys", "commands (MONITOR)", "events"} == {surface for surface, _ in sent.values()}
    check.ran.clear()
    again = run_controls(check, lambda _: None, tmp_path, missed)
    assert [(each.surface, each.control) for each in again] == [(each.surface, each.control) for each in missed]
    assert check.ran["leak_controls.environment"][0] == {"seconds": 20}
    assert {label: seconds for label, (_, seconds) in check.sent.items()} == dict.fromkeys(sent, 20)


def test_what_there_was_no_time_to_look_at_is_tried_again_and_what_is_closed_is_not() -> None:
    caught = [
        Caught("environ", "controls.a", "LEAK", "environ of sleep"),
        Caught("log", "controls.a", "clean", ""),
        Caught("files", "controls.a", "not looked at", NONE_SEEN),
        Caught("memory", "controls.a", "not looked at", "closed to user 1000"),
    ]
    assert [each.surface for each in to_be_tried_again(caught)] == ["log", "files"]


def test_a_leak_in_memory_stays_until_all_of_it_was_looked_at_since_then(tmp_path: Path) -> None:
    check: Any = Check()
    run_controls(check, lambda _: None, tmp_path)
    parameters, timeout = check.ran["leak_controls.main_memory"]
    assert parameters["seconds"] == 60 < timeout
