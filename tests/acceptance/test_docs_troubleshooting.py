"""docs/troubleshooting.md: each message on it comes as it stands there."""

from __future__ import annotations

import re

import pytest

from tests.acceptance.command import Command
from tests.acceptance.docs_terminal import Terminal, as_pattern
from tests.docs_blocks import ROOT, block

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


@pytest.fixture
def terminal(command: Command) -> Terminal:
    """Give a terminal in a new project."""
    made = Terminal(command)
    made.type("$ attune-tasks init shop\n$ cd shop")
    return made


def says(terminal: Terminal, console: str) -> None:
    """See that the commands of a block print what it says, whatever their exit codes are."""
    said = terminal.type(console, check=False)
    assert re.fullmatch(as_pattern(console), said), said


def test_the_first_two_commands_tell_of_all_parts_and_of_all_settings(terminal: Terminal) -> None:
    said = terminal.type(block("trouble-first"))
    for part in ("packs", "provider", "broker"):
        assert re.search(rf"^ok +{part}", said, re.MULTILINE), said
    assert re.search(r"secrets\.file\.path .*attune-tasks\.toml", said), said


def test_an_unknown_action_is_said_so(terminal: Terminal) -> None:
    says(terminal, block("trouble-unknown"))


def test_a_file_of_secrets_that_others_can_read_is_refused(terminal: Terminal) -> None:
    (terminal.folder / "secrets.toml").chmod(0o644)
    says(terminal, block("trouble-mode"))


def test_what_an_action_starts_has_no_get_secret(terminal: Terminal) -> None:
    script = "import subprocess, sys\n\n\ndef run(params):\n"
    script += "    subprocess.run([sys.executable, 'other.py'], cwd=params['name'])\n"
    (terminal.folder / "packs" / "hello" / "actions" / "greet.py").write_text(script, encoding="utf-8")
    (terminal.folder / "other.py").write_text("get_secret('key')\n", encoding="utf-8")
    assert block("trouble-get-secret") in terminal.type(f"$ attune-tasks run hello.greet -p name={terminal.folder}")


def test_the_builtins_that_linters_are_told_are_those_of_an_action(terminal: Terminal) -> None:
    (told,) = re.findall(r"`builtins = (\[.*?\])` for ruff", PAGE)
    script = f"import builtins\n\n\ndef run(params):\n    return [hasattr(builtins, name) for name in {told}]\n"
    (terminal.folder / "packs" / "hello" / "actions" / "greet.py").write_text(script, encoding="utf-8")
    assert "result [true, true, true]" in terminal.type("$ attune-tasks run hello.greet -p name=Ada")


def test_where_a_script_finds_its_own_folder(terminal: Terminal) -> None:
    actions = terminal.folder / "packs" / "hello" / "actions"
    (actions / "backup.sh").write_text('echo "in $(cd "$(dirname "$0")" && pwd)"\n', encoding="utf-8")
    (actions / "greet.py").write_text("def run(params):\n    print('in', __file__)\n", encoding="utf-8")
    assert f"in {actions}\n" in terminal.type("$ attune-tasks run hello.backup")
    assert f"in {actions}/greet.py\n" in terminal.type("$ attune-tasks run hello.greet -p name=Ada")


def test_a_program_that_is_not_executable_is_said_so(terminal: Terminal) -> None:
    actions = terminal.folder / "packs" / "hello" / "actions"
    (actions / "tool.yaml").write_text(
        "ref: hello.tool\nrunner_type: executable\nentry_point: tool\n", encoding="utf-8"
    )
    (actions / "tool").write_text("#!/bin/sh\n", encoding="utf-8")
    says(terminal, block("trouble-start"))


def test_a_worker_of_the_gevent_pool_ends_with_the_reason(terminal: Terminal) -> None:
    says(terminal, block("trouble-gevent"))


def test_logs_say_that_there_is_no_shared_state(terminal: Terminal) -> None:
    assert "there is no shared state" in terminal.type("$ attune-tasks logs 3765572976814197536", check=False)
    assert "`attune-tasks logs` says that there is no shared state" in PAGE
