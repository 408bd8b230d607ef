"""docs/django.md: each block in a project that `startproject` made, with the embedded broker in place of Redis."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.acceptance.command import Command
from tests.docs_blocks import ROOT, block

_EMBEDDED = """
import pathlib
from attune_tasks._celery.embedded import embedded_config
for _name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
    del globals()[_name]
_given = embedded_config(pathlib.Path({folder!r}))
globals().update({{f"CELERY_{{_name.upper()}}": _value for _name, _value in _given.items()}})
"""


@pytest.fixture
def project(command: Command) -> Command:
    done = command.run("init", "shop")
    assert done.returncode == 0, done.stderr
    command.folder /= "shop"
    (command.folder / "attune-tasks.toml").unlink()  # all that counts stands in Django's settings
    command.environment["PYTHONPATH"] = str(ROOT)
    _python(command, "-m", "django", "startproject", "project", ".")
    package = command.folder / "project"
    settings = package / "settings.py"
    embedded = _EMBEDDED.format(folder=str(command.temporary / "embedded"))
    settings.write_text(settings.read_text() + block("django-settings") + embedded, encoding="utf-8")
    (package / "celery.py").write_text(block("django-celery"), encoding="utf-8")
    (package / "__init__.py").write_text("from project.celery import app as app\n", encoding="utf-8")
    (package / "views.py").write_text(block("django-views"), encoding="utf-8")
    (package / "urls.py").write_text(block("django-urls"), encoding="utf-8")
    (package / "tests.py").write_text(block("django-tests"), encoding="utf-8")
    return command


def test_the_commands_and_the_tests_of_the_page_run(project: Command) -> None:
    said = ""
    for line in block("django-commands").splitlines():
        prompt, python, *words = line.split()
        assert (prompt, python) == ("$", "python")
        said += _python(project, *words)
    assert "System check identified no issues" in said
    assert "hello.greet" in said
    assert "Hello, Ada!" in said
    assert "Ran 2 tests" in _python(project, "manage.py", "test")


def test_what_is_installed_is_an_extra_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (line,) = block("django-pip").splitlines()
    assert line == f'$ pip install "{project["name"]}[django]"'
    assert "django" in project["optional-dependencies"]


def _python(command: Command, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=command.folder,
        env=command.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
