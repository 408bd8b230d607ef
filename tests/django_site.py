"""A Django site in the tests' own process, connected for one test at a time: other tests see nothing of it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from celery import Celery, _state

from attune_tasks._celery.embedded import embedded_config
from tests.integration.packs import write_packs, write_secrets

__all__ = ["SITE_ACTIONS", "Site", "django_site", "set_up_django"]

SITE_ACTIONS: Final = {
    "pay": (
        "echo paid",
        """\
label: Pay a bill
parameters:
  amount: {type: integer, required: true, minimum: 1, description: In cents.}
  currency: {type: string, enum: [EUR, USD], default: EUR}
  express: {type: boolean}
  note: {type: string, maxLength: 40, pattern: "^[a-z ]*$"}
  share: {type: number}
  lines: {type: array, items: {type: string}}
  key: {type: string, secret: true, required: true, allow: ["work/api#api_key", "work/api#password"]}
""",
    ),
    "off": ("true", "enabled: false\n"),
    "script": ("echo '<script>alert(1)</script>'", "description: <script>alert(2)</script>\n"),
}
"""Of the pack `shop`: the body of each shell action, and its metadata."""

_state_of_celery: Any = _state  # its stubs leave these out


@dataclass(frozen=True)
class Site:
    """What a test has of the site."""

    folder: Path
    packs: Path
    secrets: Path
    app: Celery
    settings: Mapping[str, Any]
    """ATTUNE_TASKS."""

    def user(self, name: str = "ada", *permissions: str, **fields: Any) -> Any:
        """Make a user, who is staff, with permissions by their code names, which are made where they are not there."""
        from django.contrib.auth.models import Permission, User
        from django.contrib.contenttypes.models import ContentType

        from attune_tasks.contrib.django.models import Execution

        made = User.objects.create(username=name, **{"is_staff": True, **fields})
        kind = ContentType.objects.get_for_model(Execution)
        for permission in permissions:
            made.user_permissions.add(
                Permission.objects.get_or_create(codename=permission, content_type=kind, defaults={"name": permission})[
                    0
                ]
            )
        return made

    def client(self, user: Any = None, **options: Any) -> Any:
        """Give a browser, in which `user` is signed in."""
        from django.test import Client

        client = Client(**options)
        if user is not None:
            client.force_login(user)
        return client


def _remove(folder: str, owner: int) -> None:
    """Leave nothing behind, unless this is a fork of the process that made it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def set_up_django() -> None:
    """Set Django up in this process, once, and connect nothing. It needs no settings module."""
    from django import VERSION
    from django.conf import settings

    if settings.configured:
        return
    folder = tempfile.mkdtemp(prefix="attune-tasks-django-")
    atexit.register(_remove, folder, os.getpid())
    contrib = ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
    templates = {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
    # Before 5.1 Django has no such options for SQLite.
    quick = {"init_command": "PRAGMA synchronous = OFF", "transaction_mode": "IMMEDIATE"}
    options = quick if VERSION >= (5, 1) else {}
    settings.configure(
        SECRET_KEY="tests",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.django_urls",
        INSTALLED_APPS=[
            *(f"django.contrib.{name}" for name in contrib),
            "attune_tasks.contrib.django",
            "django_celery_beat",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[templates],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/site.sqlite3", "OPTIONS": options}
        },
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        STATIC_URL="/static/",
        LOGGING_CONFIG=None,  # what the tests' own process logs stays as it is
        USE_TZ=True,
        TIME_ZONE="UTC",
        ATTUNE_TASKS={},
    )
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from attune_tasks.contrib.django.connecting import disconnect

    with _current(Celery("migrating", set_as_current=False)):  # whose packs get permissions: none
        call_command("migrate", verbosity=0)
    connections.close_all()
    disconnect()


@pytest.fixture
def django_site(tmp_path: Path) -> Iterator[Site]:
    """Give the site with packs, secrets and a current Celery app of its own; afterwards its tables are empty."""
    set_up_django()
    from django.db import connection, connections
    from django.test import override_settings

    from attune_tasks.contrib.django.connecting import connect, disconnect

    app = Celery("site", set_as_current=False)
    app.conf.update(embedded_config(tmp_path / "embedded"))
    packs = write_packs(tmp_path)
    _write_shop(packs)
    secrets = write_secrets(tmp_path)
    settings = {"packs": [str(packs)], "secrets": {"file": {"path": str(secrets)}}}
    connect()
    try:
        with _current(app), override_settings(ATTUNE_TASKS=settings):
            yield Site(tmp_path, packs, secrets, app, settings)
            if not connection.in_atomic_block:  # else Django's TestCase undoes all
                _empty()
    finally:
        if not connection.in_atomic_block:
            connections.close_all()
        disconnect()


@contextmanager
def _current(app: Celery) -> Iterator[None]:
    """Make `app` the current one meanwhile."""
    before = _state_of_celery._tls.current_app
    app.set_current()
    try:
        yield
    finally:
        _state_of_celery._set_current_app(before)


def _empty() -> None:
    from django.contrib.admin.models import LogEntry
    from django.contrib.auth.models import Group, User
    from django.contrib.sessions.models import Session
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    from attune_tasks.contrib.django.models import Execution

    for model in (PeriodicTask, IntervalSchedule, Execution, LogEntry, Session, Group, User):
        model.objects.all().delete()


def _write_shop(packs: Path) -> None:
    actions = packs / "shop" / "actions"
    actions.mkdir(parents=True)
    (packs / "shop" / "pack.yaml").write_text("ref: shop\nlabel: Shop\nversion: 1.0.0\n", encoding="utf-8")
    for name, (script, metadata) in SITE_ACTIONS.items():
        head = f"ref: shop.{name}\nrunner_type: shell\nentry_point: {name}.sh\n"
        (actions / f"{name}.yaml").write_text(head + metadata, encoding="utf-8")
        (actions / f"{name}.sh").write_text(script + "\n", encoding="utf-8")
