"""The table of leak-check, and its command line as far as it needs no worker."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from attune_tasks._celery.leaks.flower_pages import FlowerPages
from attune_tasks.cli.commands import main
from attune_tasks.cli.leak_check import _run_canaries, _with_hint
from attune_tasks.cli.leak_flower import with_login
from attune_tasks.cli.leak_table import _BETWEEN_REASONS, told
from attune_tasks.leaks import Findings, Hit, Row, ValueSeeker, Watched
from attune_tasks.leaks.execution_trees import NONE_SEEN
from attune_tasks.leaks.rows import BETWEEN_REASONS
from attune_tasks.result import ExecutionResult


def test_what_stands_between_two_reasons_is_in_none() -> None:
    assert _BETWEEN_REASONS == BETWEEN_REASONS
    findings = Findings("names", ValueSeeker())
    findings.not_looked_at("it ended; nobody saw it")
    findings.not_looked_at("run as root")
    (row,) = findings.rows([Watched(7, "t", "shell")])
    assert row.why.split(BETWEEN_REASONS) == ["it ended, nobody saw it", "run as root"]


def test_a_leak_is_told_with_its_place_and_program_and_reasons_once() -> None:
    hit = Hit("token", "base64", "environ of curl (pid 7), variable T", "curl -H ***")
    rows = [
        Row("environ", "python", "clean"),
        Row("environ", "shell", "LEAK", "", (hit,)),
        Row("memory", "python", "not looked at", "run as root"),
        Row("memory", "shell", "not looked at", "run as root"),
        Row("files", "python", "clean", "one was too big"),
        Row("names", "python", "not looked at", "run as root; it ended"),
        Row("names", "shell", "not looked at", "run as root"),
    ]
    assert list(told(rows)) == [
        "SURFACE  PYTHON  SHELL",
        "environ  clean   LEAK",
        "memory   -       -",
        "files    clean   -",
        "names    -       -",
        "LEAK: environ, shell: token (base64) in environ of curl (pid 7), variable T",
        "      shown by: curl -H ***",
        "memory, names: not looked at: run as root",
        "files (python): not seen: one was too big",
        "names (python): not looked at: it ended",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--real"], "are for an action REF"),
        (["-p", "a=1"], "are for an action REF"),
        (["work.tell", "--canary-ref", "vault://a/b#c"], "is for the canary actions"),
        (["work.tell", "--seconds", "3"], "is for the canary actions"),
        (["--self-test", "--seconds", "3"], "is for the canary actions"),
        (["--self-test", "work.tell"], "a worker and a log for Vault of its own"),
        (["--self-test", "--vault-audit-log", "/log"], "a worker and a log for Vault of its own"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["leak-check", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("url", "full"),
    [(None, "http://ada:a%40b%3Ac@127.0.0.1:5555"), ("https://flower:1/x", "https://ada:a%40b%3Ac@flower:1/x")],
)
def test_the_login_for_flower_comes_from_a_file(url: str | None, full: str) -> None:
    assert with_login(url, "ada:a@b:c\n") == full
    assert FlowerPages(full)._headers["Authorization"] == f"Basic {b64encode(b'ada:a@b:c').decode()}"


@pytest.mark.parametrize(("url", "login"), [(None, "a-password"), (None, ":a-password"), ("http://a:b@c", "a:b")])
def test_a_login_that_is_none_is_refused_and_not_quoted(url: str | None, login: str) -> None:
    arguments = ["leak-check", "--flower-login", "-", *(["--flower", url] if url else [])]
    result = CliRunner().invoke(main, arguments, input=login)
    assert result.exit_code == 2
    assert "--flower-login" in result.stderr
    assert "a-password" not in result.stderr


def test_real_secrets_are_asked_about_first() -> None:
    result = CliRunner().invoke(main, ["leak-check", "work.tell", "--real"], input="n\n")
    assert "with its real secrets" in result.stderr
    assert result.exit_code == 130


@pytest.mark.parametrize("why", [NONE_SEEN, "it ended before all of its memory was looked at"])
def test_where_a_canary_ended_too_soon_the_row_names_the_option(why: str) -> None:
    assert "(--seconds has it stay longer)" in _with_hint(Row("environ", "shell", "not looked at", why)).why
    assert _with_hint(Row("environ", "shell", "clean")).why == ""


def test_canaries_stay_as_long_as_was_said_but_for_those_that_fail() -> None:
    class Check:
        canaries = (("leak_check.a_shows", "a"), ("leak_check.a_fails", "a"))
        ran: ClassVar[list[dict[str, float]]] = []

        def run(self, ref: str, parameters: dict[str, float], **_: Any) -> ExecutionResult:
            self.ran.append(parameters)
            return ExecutionResult(7, ref, "failed" if ref.endswith("fails") else "succeeded")

    check: Any = Check()
    assert not _run_canaries(check, None, 2.5)
    assert not _run_canaries(check, None, None)
    assert check.ran == [{"seconds": 2.5}, {}, {}, {}]
