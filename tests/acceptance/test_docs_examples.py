"""The README's commands, and its examples for Celery alone, Django and Flask, each with a real worker.

The examples name a Redis. Here they use the embedded broker: nothing else in them is changed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.acceptance.command import Command
from tests.celery_worker import CeleryWorker, celery_worker_command, running_worker
from tests.docs_blocks import ROOT, block

_UPDATE = ".conf.update("
_EMBEDDED = (
    _UPDATE + "__import__('attune_tasks._celery.embedded', fromlist=['_']).embedded_config("
    "__import__('pathlib').Path({folder!r})), "
)


def test_the_commands_of_the_readme_print_what_it_says(command: Command) -> None:
    tools = command.folder / ".tools"
    tools.mkdir()
    (tools / "attune-tasks").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m attune_tasks.cli "$@"\n')
    (tools / "attune-tasks").chmod(0o755)
    script = f"set -e\nexec 2>&1\nPATH={shlex.quote(str(tools))}:$PATH\n"
    expected = ""
    for line in block("readme-init").splitlines():
        if line.startswith("$ "):
            script += f"{line[2:]}\n"
        else:
            expected += ".*\n" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=command.folder,
        env=command.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert re.fullmatch(expected, done.stdout, re.DOTALL), done.stdout


def test_the_example_for_celery_alone_runs(command: Command) -> None:
    project(command)
    write(command, "celery_app.py", block("example-celery"))
    with worker(command, "celery_app"):
        said = python(command, "celery_app.py")
    assert re.fullmatch(r"execution \d+ is (pending|running|succeeded)\nHello, Ada!\n", said), said


def test_the_example_for_flask_runs(command: Command) -> None:
    project(command)
    write(command, "flask_app.py", block("example-flask"))
    client = """
import flask_app, sys, time
client = flask_app.app.test_client()
started = client.post("/greet/Ada")
shown = lambda: client.get("/executions/" + started.json["task_id"]).json
deadline = time.monotonic() + 30
while shown()["status"] in {"pending", "running"} and time.monotonic() < deadline:
    time.sleep(0.05)
print(started.status_code, shown()["status"], shown()["result"]["greeting"])
"""
    with worker(command, "flask_app.celery"):
        assert python(command, "-c", client) == "202 succeeded Hello, Ada!\n"


def test_the_example_for_django_runs(command: Command) -> None:
    project(command)
    python(command, "-m", "django", "startproject", "project", ".")
    package = command.folder / "project"
    write(command, "project/celery.py", block("example-django-celery"))
    write(command, "project/views.py", block("example-django-views"))
    (package / "__init__.py").write_text("from project.celery import app as app\n", encoding="utf-8")
    (package / "urls.py").write_text(
        "from django.urls import path\n"
        "from project import views\n"
        "urlpatterns = [path('greet/<name>', views.start), path('executions/<task_id>', views.show)]\n",
        encoding="utf-8",
    )
    client = """
import time
import django
import project
django.setup()
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
from django.db import transaction
from django.test import Client
client = Client()
shown = lambda: client.get("/executions/" + started.json()["task_id"]).json()
with transaction.atomic():
    started = client.post("/greet/Ada")
    time.sleep(0.2)
    inside = shown()["status"]
deadline = time.monotonic() + 30
while shown()["status"] in {"pending", "running"} and time.monotonic() < deadline:
    time.sleep(0.05)
print(started.status_code, inside, shown()["status"], shown()["result"]["greeting"])
"""
    with worker(command, "project"):
        assert python(command, "-c", client) == "202 pending succeeded Hello, Ada!\n"


def project(command: Command) -> None:
    """Go into a folder that ``attune-tasks init`` wrote, as the README tells."""
    done = command.run("init", "shop")
    assert done.returncode == 0, done.stderr
    command.folder /= "shop"


def write(command: Command, name: str, text: str) -> None:
    """Write an example, its broker replaced by the embedded one."""
    assert text.count(_UPDATE) == ("celery" in name or "flask" in name)
    embedded = _EMBEDDED.format(folder=str(command.temporary / "embedded"))
    (command.folder / name).write_text(text.replace(_UPDATE, embedded), encoding="utf-8")


def python(command: Command, *arguments: str) -> str:
    """Run Python in the project; give what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=command.folder,
        env=environment(command),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(command: Command) -> dict[str, str]:
    """Give what a process of the project gets."""
    return {**command.environment, "PYTHONPATH": os.pathsep.join([str(command.folder), str(ROOT)])}


@contextmanager
def worker(command: Command, app: str) -> Iterator[None]:
    """Run a prefork worker of an app in the project, and end it by its pid."""
    arguments = celery_worker_command(app, "-c", "1", "-l", "INFO")
    process = CeleryWorker(arguments, command.folder, environment(command), command.temporary / "worker.log")
    with running_worker(process, "prefork, of the README's examples, broker: embedded"):
        yield


def test_the_examples_folder_says_how_to_run_each() -> None:
    examples = ROOT / "examples"
    text = (examples / "README.md").read_text(encoding="utf-8")
    for path in sorted(examples.iterdir()):
        if path.name != "README.md" and (path.is_file() or any(path.rglob("*.py"))):
            assert path.name in text, path
