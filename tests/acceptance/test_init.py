"""``attune-tasks init``: what it writes runs."""

from __future__ import annotations

import subprocess
import sys
import textwrap

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


def test_the_lines_to_paste_for_flask_make_an_app_which_knows_the_task(command: Command) -> None:
    printed = command.run("init").stdout
    create, view = blocks_of(printed[printed.index("Flask:") :])
    script = f"""
from attune_tasks.testing import captured
from flask import Flask
app = Flask("shop")
{create}

@app.post("/greet/<name>")
def greet(name):
    {view}

with captured() as calls:
    answer = app.test_client().post("/greet/Ada")
assert answer.status_code == 202, answer.text
assert [call.action_ref for call in calls] == ["hello.greet"]
assert "attune_tasks.run_action" in celery.tasks
assert celery.conf.broker_url == "redis://localhost:6379/0"
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=command.folder, check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_lines_to_paste_for_django_enqueue_when_the_transaction_is_through(command: Command) -> None:
    printed = command.run("init").stdout
    settings, view = blocks_of(printed[printed.index("Django:") : printed.index("Flask:")])
    script = f"""
import django
from django.conf import settings
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
{settings}
databases = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
settings.configure(SECRET_KEY="x", INSTALLED_APPS=INSTALLED_APPS, DATABASES=databases, USE_TZ=True)
django.setup()
from celery import Celery
from django.core.management import call_command
from django.db import transaction
from types import SimpleNamespace
from attune_tasks.testing import captured
app = Celery("project", broker="memory://", backend="cache+memory://")
assert "attune_tasks.run_action" in app.tasks
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
request = SimpleNamespace(user=User.objects.create(username="Ada"))
with captured() as calls, transaction.atomic():
{textwrap.indent(view, "    ")}
    assert calls == []
assert [(call.action_ref, call.parameters) for call in calls] == [("hello.greet", {{"name": "Ada"}})]
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=command.folder, check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
