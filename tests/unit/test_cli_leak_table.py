"""The table of leak-check, and its command line as far as it needs no worker."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from attune_tasks.cli.commands import main
from attune_tasks.cli.leak_table import told
from attune_tasks.leaks import Hit, Row


def test_a_leak_is_told_with_its_place_and_program_and_reasons_once() -> None:
    hit = Hit("token", "base64", "environ of curl (pid 7), variable T", "curl -H ***")
    rows = [
        Row("environ", "python", "clean"),
        Row("environ", "shell", "LEAK", "", (hit,)),
        Row("memory", "python", "not looked at", "run as root"),
        Row("memory", "shell", "not looked at", "run as root"),
        Row("files", "python", "clean", "one was too big"),
    ]
    assert list(told(rows)) == [
        "SURFACE  PYTHON  SHELL",
        "environ  clean   LEAK",
        "memory   -       -",
        "files    clean   -",
        "LEAK: environ, shell: token (base64) in environ of curl (pid 7), variable T",
        "      shown by: curl -H ***",
        "memory: not looked at: run as root",
        "files (python): not seen: one was too big",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--real"], "are for an action REF"),
        (["-p", "a=1"], "are for an action REF"),
        (["work.tell", "--canary-ref", "vault://a/b#c"], "is for the canary actions"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["leak-check", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr


def test_real_secrets_are_asked_about_first() -> None:
    result = CliRunner().invoke(main, ["leak-check", "work.tell", "--real"], input="n\n")
    assert "with its real secrets" in result.stderr
    assert result.exit_code == 130
