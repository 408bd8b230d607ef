"""``attune-tasks init``: what it writes runs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.acceptance.command import Command


def test_what_init_writes_runs(command: Command) -> None:
    done = command.run("init", "shop", umask=0)
    assert done.returncode == 0, done.stderr
    command.folder /= "shop"
    assert (command.folder / "secrets.toml").stat().st_mode & 0o777 == 0o600
    assert "/secrets.toml" in (command.folder / ".gitignore").read_text(encoding="utf-8").splitlines()
    greeted = command.run("run", "hello.greet", "-p", "name=Ada")
    assert greeted.returncode == 0, greeted.stderr
    assert "Hello, Ada!" in greeted.stderr
    backed_up = command.run("run", "hello.backup", "-p", f"folder={command.folder}")
    assert backed_up.returncode == 0, backed_up.stderr
    assert command.run("secrets", "check", "hello.greet").returncode == 0
    assert command.run("doctor").returncode == 0


def test_the_test_that_init_writes_passes(command: Command) -> None:
    assert command.run("init").returncode == 0
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/test_hello.py"],
        cwd=command.folder,
        env=command.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert tests.returncode == 0, tests.stdout
    assert "3 passed" in tests.stdout


def test_init_overwrites_nothing_and_then_writes_nothing(command: Command) -> None:
    taken = command.folder / "packs" / "hello" / "pack.yaml"
    taken.parent.mkdir(parents=True)
    taken.write_text("mine", encoding="utf-8")
    (command.folder / "secrets.toml").symlink_to("nowhere")
    done = command.run("init")
    assert done.returncode == 2
    assert "secrets.toml, packs/hello/pack.yaml" in done.stderr
    assert taken.read_text(encoding="utf-8") == "mine"
    assert sorted(path.name for path in command.folder.iterdir()) == ["packs", "secrets.toml"]
    assert not (command.folder / "nowhere").exists()


def test_a_gitignore_that_is_there_is_left_alone_and_its_owner_told(command: Command) -> None:
    (command.folder / ".gitignore").write_text("*.pyc\n", encoding="utf-8")
    done = command.run("init")
    assert done.returncode == 0
    assert "/secrets.toml" in done.stderr
    assert (command.folder / ".gitignore").read_text(encoding="utf-8") == "*.pyc\n"


def test_a_folder_that_cannot_be_written_is_told_without_a_traceback(command: Command) -> None:
    (command.folder / "file").write_text("", encoding="utf-8")
    done = command.run("init", "file/below")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def blocks_of(text: str) -> list[str]:
    """Give the indented blocks of code in what init prints."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("    ") or not line:
            blocks[-1].append(line)
        else:
            blocks.append([])
    return [code for lines in blocks if (code := textwrap.dedent("\n".join(lines)).strip())]


def test_the_lines_to_paste_for_celery_alone_make_an_app_which_knows_the_task(command: Command) -> None:
    printed = command.run("init").stdout
    blocks = blocks_of(printed[printed.index("Celery alone") :])
    assert len(blocks) == 6
    script = blocks[0] + "\napp.loader.import_default_modules()\nassert 'attune_tasks.run_action' in app.tasks\n"
    subprocess.run([sys.executable, "-c", script], cwd=command.folder, check=True, timeout=60)


def test_the_lines_to_paste_for_flask_make_an_app_which_knows_the_task(command: Command, tmp_path: Path) -> None:
    printed = command.run("init").stdout
    create, view = blocks_of(printed[printed.index("Flask:") :])
    script = f"""
import attune_tasks
from attune_tasks.testing import captured
from flask import Flask
{create}
app = Flask("shop")
app.config.update(BROKER_URL="memory://", RESULT_BACKEND="cache+memory://")
create_celery(app)

@app.post("/greet/<name>")
def greet(name):
    {view}

with captured() as calls:
    answer = app.test_client().post("/greet/Ada")
assert answer.status_code == 202, answer.text
assert [call.action_ref for call in calls] == ["hello.greet"]
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=command.folder, check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_lines_to_paste_for_django_make_an_app_which_knows_the_task(command: Command) -> None:
    printed = command.run("init").stdout
    module, view = blocks_of(printed[printed.index("Django:") : printed.index("Flask:")])
    project = command.folder / "project"
    project.mkdir()
    (project / "__init__.py").write_text("from project.celery import app as celery_app", encoding="utf-8")
    (project / "celery.py").write_text(module, encoding="utf-8")
    (project / "settings.py").write_text(
        "SECRET_KEY = 'x'\nCELERY_BROKER_URL = 'memory://'\nCELERY_RESULT_BACKEND = 'cache+memory://'\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n",
        encoding="utf-8",
    )
    script = f"""
import django, project
django.setup()
import attune_tasks
from types import SimpleNamespace
from attune_tasks.testing import captured
from django.db import transaction
user = SimpleNamespace(username="Ada")
with captured() as calls:
    {view}
assert [call.action_ref for call in calls] == ["hello.greet"]
assert project.celery_app.conf.broker_url == "memory://"
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=command.folder, check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
