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

_MODULE = "__import__('attune_tasks._celery.embedded', fromlist=['_'])"
_EMBEDDED = _MODULE + ".embedded_config(__import__('pathlib').Path({folder!r}))"
_UPDATE = ".conf.update("
_FLASK = '{"broker_url": "redis://localhost:6379/0", "result_backend": "redis://localhost:6379/1"}'
_DJANGO_SETTINGS = """
globals().update({{f"CELERY_{{_name.upper()}}": _value for _name, _value in {embedded}.items()}})
ALLOWED_HOSTS = ["testserver"]
"""
_DJANGO_URLS = """
from django.urls import include, path
from project import views
urlpatterns = [path("greet/<name>", views.greet), path("actions/", include("attune_tasks.contrib.django.urls"))]
"""


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
    text = block("example-celery")
    assert text.count(_UPDATE) == 1
    (command.folder / "celery_app.py").write_text(text.replace(_UPDATE, f"{_UPDATE}{embedded(command)}, "))
    with worker(command, "celery_app"):
        said = python(command, "celery_app.py")
    assert re.fullmatch(r"execution \d+ is (pending|running|succeeded)\nHello, Ada!\n", said), said


def test_the_example_for_flask_runs(command: Command) -> None:
    project(command)
    text = block("example-flask")
    assert text.count(_FLASK) == 1
    (command.folder / "ops.py").write_text(text.replace(_FLASK, embedded(command)))
    client = """
import ops
from attune_tasks import Handle
from attune_tasks.ids import task_id_of
sent = ops.app.test_client().post("/greet/Ada")
result = Handle.from_task_id(task_id_of(int(sent.json["execution_id"])), ops.celery).result(30)
print(sent.status_code, result.status, result.result["greeting"])
"""
    with worker(command, "ops.celery"):
        assert python(command, "-c", client) == "202 succeeded Hello, Ada!\n"
    assert "hello.greet" in python(command, "-m", "flask", "--app", "ops", "attune", "packs", "list")


def test_the_example_for_django_runs(command: Command) -> None:
    project(command)
    python(command, "-m", "django", "startproject", "project", ".")
    package = command.folder / "project"
    settings = package / "settings.py"
    own = block("example-django-settings") + _DJANGO_SETTINGS.format(embedded=embedded(command))
    settings.write_text(settings.read_text() + own)
    (package / "celery.py").write_text(block("django-celery"))
    (package / "__init__.py").write_text("from project.celery import app as app\n")
    (package / "views.py").write_text(block("example-django-views"))
    (package / "urls.py").write_text(_DJANGO_URLS)
    python(command, "manage.py", "migrate", "--verbosity", "0")
    client = """
import time
import django
import project
django.setup()
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
client = Client()
client.force_login(User.objects.create(username="ada"))
ask = lambda: client.get("/actions/executions/" + sent.json()["execution_id"] + "/")
shown = lambda: ask().json()
with transaction.atomic():
    sent = client.post("/greet/Ada")
    time.sleep(0.2)
    inside = ask().status_code
deadline = time.monotonic() + 30
while shown()["status"] in {"pending", "running"} and time.monotonic() < deadline:
    time.sleep(0.05)
print(sent.status_code, inside, shown()["status"], shown()["result"]["greeting"])
"""
    with worker(command, "project"):
        assert python(command, "-c", client) == "202 404 succeeded Hello, Ada!\n"


def project(command: Command) -> None:
    """Go into a folder that ``attune-tasks init`` wrote, as the README tells."""
    done = command.run("init", "shop")
    assert done.returncode == 0, done.stderr
    command.folder /= "shop"


def embedded(command: Command) -> str:
    """Give an expression for Celery's settings with the embedded broker, in place of the examples' Redis."""
    return _EMBEDDED.format(folder=str(command.temporary / "embedded"))


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
