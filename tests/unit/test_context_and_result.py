"""What an execution is given and what comes back: their text shows no secret, their JSON comes back equal."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

from attune_tasks.context import ExecutionContext
from attune_tasks.errors import ActionFailed
from attune_tasks.result import ExecutionResult
from attune_tasks.secret_values import Secrets

FULL = ExecutionResult(
    execution_id=2**63 - 1,
    action_ref="billing.close_month",
    status="failed",
    exit_code=3,
    error={"type": "nonzero_exit", "message": "the action ended with exit code 3"},
    duration_ms=12,
    started_at=datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
    finished_at=datetime(2026, 1, 2, 3, 4, 6, 0, UTC),
    secrets_missing=("a", "b"),
    masked={"c": {"stdout": 2, "result": 1}},
    not_masked=("d",),
    stdout_truncated=True,
    result={"a": [1, None, 2.5, "ü"]},
    stdout="out\n",
    stderr="\ufffd",
)


def test_only_id_and_ref_are_required() -> None:
    context = ExecutionContext(1, "a.b")
    assert (context.parameters, context.env, dict(context.secrets), context.timeout) == ({}, {}, {}, None)


def test_a_context_shows_names_and_never_values() -> None:
    context = ExecutionContext(1, "a.b", secrets={"api_key": "hunter2hunter2"})
    for shown in (repr(context), str(context), f"{context.secrets!r}", repr(dataclasses.replace(context))):
        assert "api_key" in shown
        assert "hunter2" not in shown
    assert context.secrets["api_key"] == "hunter2hunter2"


def test_a_context_is_frozen_and_its_secrets_are_not_pickled() -> None:
    context = ExecutionContext(1, "a.b", secrets={"a": "hunter2"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.timeout = 1.0  # type: ignore[misc]
    for operation in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="references"):
            operation(context.secrets)


def test_secrets_can_be_joined_and_the_right_one_wins() -> None:
    assert dict(Secrets({"a": "1", "b": "2"}) | {"b": "3"}) == {"a": "1", "b": "3"}


def test_the_script_is_found_by_code_path_else_by_entry_point(tmp_path: Path) -> None:
    assert (
        ExecutionContext(1, "a.b", code_path=tmp_path / "x.py", entry_point="y.py").script_path() == tmp_path / "x.py"
    )
    assert ExecutionContext(1, "a.b", working_dir=tmp_path, entry_point="y.py").script_path() == tmp_path / "y.py"
    assert ExecutionContext(1, "a.b", code="pass", entry_point="y.py").script_path() is None


def test_a_result_comes_back_equal_from_json() -> None:
    assert ExecutionResult.from_json(FULL.to_json()) == FULL
    small = ExecutionResult(1, "a.b", "succeeded")
    assert ExecutionResult.from_json(small.to_json()) == small


def test_the_execution_id_is_a_decimal_string_in_json() -> None:
    data = json.loads(FULL.to_json())
    assert data["execution_id"] == "9223372036854775807"
    assert data["started_at"] == "2026-01-02T03:04:05.000678+00:00"


def test_a_later_versions_field_is_ignored() -> None:
    assert ExecutionResult.from_dict({**FULL.to_dict(), "of_tomorrow": 1}) == FULL


@pytest.mark.parametrize(
    "wrong", [{}, {"execution_id": "1", "action_ref": "a.b", "status": "odd"}, {"status": "failed"}]
)
def test_what_is_no_result_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not an execution's result"):
        ExecutionResult.from_dict(wrong)


def test_action_failed_is_one_short_line_without_output() -> None:
    loud = dataclasses.replace(FULL, stdout="OUTPUT" * 100, error={"type": "ValueError", "message": "a\nb " * 500})
    error = ActionFailed(loud.to_dict())
    for shown in (str(error), repr(error)):
        assert len(shown) <= 300
        assert "\n" not in shown
        assert "OUTPUT" not in shown
        assert "billing.close_month" in shown


def test_action_failed_survives_pickle_and_is_rebuilt_from_its_args() -> None:
    error = ActionFailed(FULL.to_dict())
    for again in (pickle.loads(pickle.dumps(error)), ActionFailed(*error.args)):  # noqa: S301 - our own bytes
        assert again.args == error.args == (FULL.to_dict(),)
        assert again.result == error.result
        assert str(again) == str(error)
