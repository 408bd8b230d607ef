"""``attune-tasks demo``: what it shows, under any circumstances, and that nothing is left of it."""

from __future__ import annotations

import re
import signal
import subprocess
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.acceptance.command import Command, communicate, eventually, processes_with
from tests.servers import used_server

ACTIONS = {
    "demo.backup": "succeeded",
    "demo.count": "succeeded",
    "demo.fail": "failed",
    "demo.sign": "succeeded",
    "demo.steps": "succeeded",
}
# What a user may have set up: none of it is the demo's.
OF_THE_USER = {
    "ATTUNE_TASKS_NONSENSE": "1",
    "ATTUNE_TASKS_CONFIG": "/nowhere.toml",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "DJANGO_SETTINGS_MODULE": "no.such.settings",
    "PYTHONWARNINGS": "error",
}


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read the demo's lines up to the one that holds `text`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            break
    assert lines
    assert text in lines[-1], "".join(lines)
    return "".join(lines)


def made_up_secrets(command: Command) -> list[str]:
    """Read the demo's secrets while it runs."""
    (path,) = command.temporary.glob("attune-tasks-demo-*/secrets.toml")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return [value for fields in tables.values() for value in fields.values()]


def assert_nothing_left(command: Command) -> None:
    assert processes_with(command.temporary) == []
    assert list(command.temporary.iterdir()) == []


@pytest.mark.parametrize("umask", [0, 0o777])
def test_the_demo_shows_that_secrets_show_up_nowhere(command: Command, umask: int) -> None:
    (command.folder / "attune-tasks.toml").write_text("this is no TOML", encoding="utf-8")
    began = time.monotonic()
    process = command.start("demo", env=OF_THE_USER, umask=umask)
    stdout = read_until(process, "enqueued demo.steps")
    secrets = made_up_secrets(command)
    assert len(processes_with(command.temporary)) > 3
    rest, stderr = communicate(process)
    took = time.monotonic() - began
    stdout += rest
    assert (process.returncode, stderr) == (0, ""), stdout + stderr
    used_server("celery", version("celery"), "prefork worker of the demo, embedded broker")
    assert took < 20
    rows = {line.split()[0]: line.split()[2] for line in stdout.splitlines() if re.match(r"  demo\.", line)}
    assert rows == ACTIONS
    assert "connecting as admin:***" in stdout
    assert len(secrets) == len(ACTIONS)
    for secret in secrets:
        assert secret not in stdout
    shown = stdout[stdout.index("While demo.steps runs") :]
    assert re.search(r"ps auxeww +\d+ lines +clean", shown)
    assert re.search(r"/proc/\d+/environ +\d+ variables +clean .*ATTUNE_EXEC_ID", shown)
    assert re.search(r"/proc/\d+/cmdline +\d+ arguments +clean", shown)
    naive = shown[shown.index("For contrast") :]
    assert re.search(r"ps auxeww +\d+ lines +LEAK", naive)
    assert re.search(r"/proc/\d+/environ +1 variables +LEAK", naive)
    assert re.search(r"attune-tasks-demo-\S+ +\d+ files +clean", naive)
    assert_nothing_left(command)
    assert [path.name for path in command.folder.iterdir()] == ["attune-tasks.toml"]


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("starting a Celery worker", signal.SIGINT),
        ("enqueued demo.steps", signal.SIGINT),
        ("For contrast", signal.SIGTERM),
    ],
)
def test_nothing_is_left_where_the_demo_is_interrupted(command: Command, moment: str, number: signal.Signals) -> None:
    process = command.start("demo")
    read_until(process, moment)
    eventually(lambda: len(processes_with(command.temporary)) > 1)
    _, stderr = command.interrupt(process, number)
    assert process.returncode == 130
    assert stderr.strip() == "attune-tasks: interrupted"
    assert_nothing_left(command)


def test_without_ps_the_demo_says_what_to_install_and_goes_on_with_proc(command: Command, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bash").symlink_to("/bin/bash")
    done = command.run("demo", env={"PATH": str(programs)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "apt-get install procps" in done.stderr
    assert "ps auxeww" not in done.stdout
    assert re.search(r"/proc/\d+/environ +\d+ variables +clean", done.stdout)
    assert_nothing_left(command)


def test_a_worker_that_does_not_start_is_told_with_the_end_of_its_log(command: Command, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "celery").mkdir(parents=True)
    (broken / "celery" / "__init__.py").write_text("", encoding="utf-8")
    (broken / "celery" / "__main__.py").write_text("raise SystemExit('no worker today')", encoding="utf-8")
    done = command.run("demo", env={"PYTHONPATH": str(broken)})
    assert done.returncode == 4
    assert "no worker today" in done.stderr
    assert_nothing_left(command)
