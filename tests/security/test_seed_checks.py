"""The three checks that the project began with, for each runtime; each beside a planted leak that it catches."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.runs import RUNTIMES
from tests.security.looks import environ_of, ps_output, running_action

pytestmark = pytest.mark.parametrize("runtime", RUNTIMES)


@pytest.fixture
def value() -> str:
    """Make a secret that stands nowhere else on this machine."""
    return f"sk_live_{secrets.token_hex(16)}"


def test_secrets_not_in_process_environ(runtime: str, tmp_path: Path, value: str) -> None:
    with running_action(runtime, tmp_path, {"api_key": value}) as action:
        seen = environ_of(action.pids)
    assert "ATTUNE_EXEC_ID=" in seen, "the look saw the environment"
    assert value not in seen
    assert "SECRET_API_KEY" not in seen
    assert action.result is not None
    assert "ATTUNE_EXEC_ID=" in action.result.stdout, "the action itself saw its environment"
    assert value not in action.result.stdout
    assert action.result.result == len(value), "and it did have the secret"


def test_a_secret_planted_in_the_environ_is_caught(runtime: str, tmp_path: Path, value: str) -> None:
    with running_action(runtime, tmp_path, {}, env={"SECRET_API_KEY": value}) as action:
        seen = [environ_of([pid]) for pid in action.pids]
    # A forked action shows the environment of its launcher, which is empty; what it starts shows its own.
    assert [value in text for text in seen] == [runtime != "python", True], "in the action and in its child"
    assert action.result is not None
    assert value in action.result.stdout


def test_secrets_accessible_in_action(runtime: str, tmp_path: Path, value: str) -> None:
    with running_action(runtime, tmp_path, {"api_key": value}) as action:
        pass
    assert action.result is not None
    assert (action.result.status, action.result.result) == ("succeeded", len(value))


def test_an_action_without_the_secret_is_told_apart(runtime: str, tmp_path: Path, value: str) -> None:
    with running_action(runtime, tmp_path, {"another": value}) as action:
        pass
    assert action.result is not None
    assert (action.result.status, action.result.result) == ("succeeded", 0)


def test_secrets_not_in_ps_output(runtime: str, tmp_path: Path, value: str) -> None:
    with running_action(runtime, tmp_path, {"api_key": value}) as action:
        seen = ps_output()
    assert f" {action.pids[0]} " in seen, "ps saw the action"
    assert str(action.result and action.result.execution_id) in seen, "and its environment"
    assert value not in seen


def test_a_secret_planted_where_ps_looks_is_caught(runtime: str, tmp_path: Path, value: str) -> None:
    with running_action(runtime, tmp_path, {}, env={"SECRET_API_KEY": value}):
        assert value in ps_output()
