"""Errors become full words and an exit code."""

from __future__ import annotations

import subprocess
import sys
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

from attune_tasks import errors
from attune_tasks.cli.exits import code_of_error, code_of_result
from attune_tasks.cli.group import CommandLine, reason_of
from attune_tasks.cli.tables import table
from attune_tasks.platforms import platform_notice
from attune_tasks.result import ExecutionResult

HEAVY = {"celery", "pydantic", "pydantic_settings", "hvac", "jsonschema", "yaml"}


def ending_with(error: BaseException) -> CommandLine:
    @click.group(cls=CommandLine)
    def group() -> None:
        """Hold one command."""

    @group.command()
    def fall() -> NoReturn:
        """Fall."""
        raise error

    return group


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.UnknownActionError("no such action"), 2, "no such action"),
        (errors.SecretsUnavailableError("no such secret"), 3, "no such secret"),
        (errors.PackError(problems=["one", "two"]), 4, "- two"),
        (click.UsageError("not so"), 2, "not so"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (SystemExit(0), 4, ""),
    ],
)
def test_an_error_gives_its_words_and_its_exit_code(error: BaseException, code: int, said: str) -> None:
    done = CliRunner().invoke(ending_with(error), ["fall"])
    assert done.exit_code == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unexpected_error_is_told_without_its_text() -> None:
    done = CliRunner().invoke(ending_with(ValueError("hunter2")), ["fall"])
    assert done.exit_code == 4
    assert "unexpected ValueError at test_cli_group.py:" in done.stderr
    assert "hunter2" not in done.stderr


def test_every_error_of_ours_has_an_exit_code_that_is_not_success() -> None:
    codes = {getattr(errors, name).code for name in errors.__all__ if name != "ActionFailed"}
    assert {code: code_of_error(code) for code in codes if code_of_error(code) not in {2, 3, 4, 124}} == {}


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        ("succeeded", None, 0),
        ("failed", "nonzero_exit", 1),
        ("timed_out", "timed_out", 124),
        ("cancelled", "cancelled", 130),
        ("error", "unknown_action", 2),
        ("error", "invalid_parameters", 2),
        ("error", "secrets_unavailable", 3),
        ("error", "internal_error", 4),
        ("error", "WorkerLostError", 4),
    ],
)
def test_the_end_of_an_execution_gives_the_exit_code(status: str, error: str | None, code: int) -> None:
    told = {"type": error, "message": ""} if error else None
    result = ExecutionResult.from_dict({"execution_id": 1, "action_ref": "a.b", "status": status, "error": told})
    assert code_of_result(result) == code


def test_the_reason_of_a_library_s_error_is_the_system_s_and_no_text_of_its_own() -> None:
    outer = RuntimeError("redis://:hunter2@host")
    outer.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert reason_of(outer) == "RuntimeError: Connection refused"
    assert reason_of(ValueError("hunter2")) == "ValueError"


def test_help_is_quick_for_it_loads_nothing_heavy() -> None:
    script = (
        "import sys; from attune_tasks.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "doctor" in done.stdout
    assert HEAVY & set(done.stderr.split()) == set()


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert list(table([("a", "bbb", ""), ("aaa", "b", "c")])) == ["a    bbb", "aaa  b    c"]
    assert list(table([])) == []


def test_other_platforms_are_told_what_does_not_hold() -> None:
    assert platform_notice("linux") is None
    assert "development only" in (platform_notice("darwin") or "")
