"""What ``manage.py check --deploy`` says besides: whether servers answer, and who may do what. It needs the network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Warning, register  # noqa: A004 - Django's own name
from django.db import DatabaseError

from attune_tasks._celery.enqueueing import app_or_default
from attune_tasks.contrib.django.checks import TAG
from attune_tasks.errors import AttuneTasksError
from attune_tasks.settings import load_settings

__all__ = ["check_permissions", "check_servers"]

_SECONDS: Final = 4
"""For all servers together."""
_NO_TASK: Final = "00000000-0000-8000-8000-000000000000"


@register(TAG, deploy=True)
def check_servers(**_: Any) -> list[CheckMessage]:
    """Ask broker, result backend and secret provider, all at once."""
    try:
        app = app_or_default(None)
        secrets = load_settings(app_settings=app.conf.get("attune_tasks")).settings.secrets
    except Exception:  # noqa: BLE001 - the other checks say it
        return []

    def ask_broker() -> None:
        with app.connection_for_write() as connection:
            # One try: with more, a client goes on longer than anybody waits here.
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_SECONDS)

    def ask_backend() -> None:
        app.backend.get_state(_NO_TASK)

    def ask_provider() -> None:
        from attune_tasks.secrets import create_provider

        create_provider(secrets.provider, secrets).describe()

    looks = [
        _Look("The broker", "W010", "Start it, or set CELERY_BROKER_URL to where it is.", ask_broker),
        _Look("The result backend", "W011", "Start it, or set CELERY_RESULT_BACKEND to where it is.", ask_backend),
        _Look(f"The secret provider {secrets.provider}", "W012", "See ATTUNE_TASKS['secrets'].", ask_provider),
    ]
    deadline = time.monotonic() + _SECONDS
    return [message for look in looks for message in look.messages(deadline)]


class _Look:
    """One question, in a thread of its own: what hangs must not keep the others."""

    def __init__(self, name: str, number: str, hint: str, ask: Callable[[], None]) -> None:
        self._name, self._number, self._hint, self._ask = name, number, hint, ask
        self._said: str | None = f"no answer within {_SECONDS:g} s"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def messages(self, deadline: float) -> Iterator[CheckMessage]:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._said is not None:
            yield Warning(f"{self._name}: {self._said}.", hint=self._hint, id=f"attune_tasks.{self._number}")

    def _run(self) -> None:
        try:
            self._ask()
            self._said = None
        except AttuneTasksError as error:
            self._said = " ".join(str(error).split()).rstrip(".")
        except Exception as error:  # noqa: BLE001 - its text may hold a URL with its password
            self._said = type(error).__name__


@register(TAG, deploy=True)
def check_permissions(**_: Any) -> list[CheckMessage]:
    """Say it where everybody who is active may run any action: a group's permission that all users have."""
    if not apps.is_installed("django.contrib.auth"):
        return []
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group

    users = get_user_model()
    found: list[CheckMessage] = []
    try:
        everybody = users.objects.filter(is_active=True).count()
        for group in Group.objects.filter(
            permissions__codename="run:*", permissions__content_type__app_label="attune_tasks"
        ):
            if everybody > 1 and group.user_set.filter(is_active=True).count() == everybody:
                text = f"Every active user is in the group {group.name!r}, which may run any action."
                hint = "Give `run:PACK` or `run:PACK.ACTION` to those who need it, in place of `run:*`."
                found.append(Warning(text, hint=hint, id="attune_tasks.W013"))
    except (DatabaseError, AttributeError):  # no tables yet, or users of the project's own without groups
        return []
    return found
