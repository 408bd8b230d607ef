"""A small Django project as its users have it, on a Redis and a SQLite file, with a worker of its own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from celery import Celery

from tests.celery_worker import CeleryWorker, celery_worker_command, running_worker
from tests.integration.workers import ROOT, Place, make_place
from tests.redis_server import RedisServer

__all__ = ["Project", "make_project"]

_CELERY: Final = """\
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
app = Celery("project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
_SETTINGS: Final = """\
SECRET_KEY = "project"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "project.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
INSTALLED_APPS += {apps!r}
INSTALLED_APPS += ["attune_tasks.contrib.django"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware",
              "django.contrib.messages.middleware.MessageMiddleware"]
TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {{
    "context_processors": [f"django.{{name}}" for name in (
        "template.context_processors.request", "contrib.auth.context_processors.auth",
        "contrib.messages.context_processors.messages")]}}}}]
STATIC_URL = "/static/"
DATABASES = {{"default": {databases!r}}}
USE_TZ = True
CELERY_BROKER_URL = {url!r}
CELERY_RESULT_BACKEND = {backend!r}
ATTUNE_TASKS = {{"packs": [{packs!r}], "secrets": {{"file": {{"path": {secrets!r}}}}}}}
ATTUNE_TASKS |= {{"grace": 1, "state_url": {url!r}, "leak_check": {{"enabled": True}}}}
"""
_SQLITE: Final = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"timeout": 1}}
_URLS: Final = """\
from django.apps import apps
from django.urls import include, path
urlpatterns = [path("actions/", include("attune_tasks.contrib.django.urls"))]
if apps.is_installed("django.contrib.admin"):
    from django.contrib import admin
    urlpatterns.append(path("admin/", admin.site.urls))
"""
_MANAGE: Final = """\
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
_BACKWARDS: Final = """\
ref: work.backwards
runner_type: python
entry_point: backwards.py
secrets:
  api_key: {ref: "work/api#api_key"}
"""
_BACKWARDS_SCRIPT: Final = "def run(params):\n    print(get_secret('api_key')[::-1])\n"
"""Prints its secret from back to front, which masking does not know."""

_DIGEST: Final = _BACKWARDS.replace("backwards", "digest")
_DIGEST_SCRIPT: Final = """\
import hashlib
def run(params):
    return hashlib.sha256(get_secret("api_key").encode()).hexdigest()
"""
"""Tells which secret it was given, and not the secret."""


@dataclass(frozen=True)
class Project:
    """The project's folder, and what stands there."""

    place: Place
    database: Path

    def environ(self) -> dict[str, str]:
        """Give all that its processes have in their environment: no variable of ours."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{self.place.folder}{os.pathsep}{ROOT}",
            "HOME": str(self.place.folder),
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }

    def manage(self, *words: str, code: int = 0, seconds: float = 60) -> str:
        """Type ``manage.py …``; give what it prints within `seconds`."""
        return self._python("manage.py", *words, code=code, seconds=seconds)

    def python(self, text: str) -> str:
        """Run some lines with Django set up; give what they print."""
        head = "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'project.settings'\nimport django\ndjango.setup()\n"
        return self._python("-c", head + textwrap.dedent(text))

    def client(self) -> Celery:
        """Give an app like the project's, for a test's own process, which has no Django."""
        app = Celery("project", set_as_current=False)
        url = self.place.urls["CELERY_BROKER_URL"]
        app.conf.update(broker_url=url, result_backend=url)
        app.conf.attune_tasks = {"packs": [str(self.place.packs)], "state_url": url}
        app.finalize()
        return app

    def records(self, where: str = "1=1") -> list[dict[str, Any]]:
        """Read the records, past Django; none where the database is away."""
        try:
            with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)) as connection:
                connection.row_factory = sqlite3.Row
                rows = connection.execute(f"SELECT * FROM attune_tasks_execution WHERE {where}")  # noqa: S608
                return [dict(row) for row in rows]
        except sqlite3.OperationalError:
            return []

    def record(self, execution_id: int) -> dict[str, Any]:
        """Read one record, its JSON as values; empty where there is none."""
        found = self.records(f"execution_id = {execution_id}")
        names = ("parameters", "result", "error", "receipts")  # JSON
        return (
            {name: json.loads(value) if name in names and value else value for name, value in found[0].items()}
            if found
            else {}
        )

    @contextmanager
    def worker(self, *arguments: str) -> Iterator[CeleryWorker]:
        """Run ``celery -A project worker``; end it by its pid."""
        command = celery_worker_command("project", "-l", "INFO", *arguments)
        made = CeleryWorker(command, self.place.folder, self.environ(), self.place.folder / "worker.log")
        with running_worker(made, "a Django project's, broker: redis") as running:
            yield running

    def _python(self, *arguments: str, code: int = 0, seconds: float = 60) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.place.folder,
            env=self.environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


def make_project(
    folder: Path,
    redis: RedisServer,
    backend: str | None = None,
    *apps: str,
    database_settings: Mapping[str, Any] | None = None,
) -> Project:
    """Write a project into `folder` and migrate its database: a SQLite file, or what `database_settings` name."""
    place = make_place(folder, redis)
    actions = place.packs / "work" / "actions"
    own = {"backwards.yaml": _BACKWARDS, "backwards.py": _BACKWARDS_SCRIPT}
    own |= {"digest.yaml": _DIGEST, "digest.py": _DIGEST_SCRIPT}
    for name, text in own.items():
        (actions / name).write_text(text, encoding="utf-8")
    url = place.urls["CELERY_BROKER_URL"]
    database = folder / "data" / "db.sqlite3"
    database.parent.mkdir()
    package = folder / "project"
    package.mkdir()
    settings = _SETTINGS.format(
        apps=list(apps),
        databases=dict(database_settings or {**_SQLITE, "NAME": str(database)}),
        url=url,
        backend=backend or url,
        packs=str(place.packs),
        secrets=str(place.secrets),
    )
    files = {"__init__.py": "from project.celery import app as app\n", "celery.py": _CELERY, "urls.py": _URLS}
    for name, text in {**files, "settings.py": settings, "../manage.py": _MANAGE}.items():
        (package / name).write_text(text, encoding="utf-8")
    project = Project(place, database)
    project.manage("migrate", "--verbosity", "0")
    return project
