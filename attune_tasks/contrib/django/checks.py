"""What ``manage.py check`` says of attune_tasks, without asking any server. Servers: see ``server_checks``."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 - Django's own name

from attune_tasks._celery.enqueueing import app_or_default
from attune_tasks.contrib.django.options import ORIGIN, django_options
from attune_tasks.errors import AttuneTasksError
from attune_tasks.settings import LoadedSettings, load_settings

__all__ = ["TAG", "check_attune_tasks"]

TAG: Final = "attune_tasks"
_FILES: Final = frozenset({"path", "token_file", "secret_id_file", "client_key"})


@register(TAG)
def check_attune_tasks(**_: Any) -> list[CheckMessage]:
    """Look at settings, packs, the provider and what stands open."""
    found: list[CheckMessage] = []
    try:
        django_options()
        # Anew, and by the app's own settings: what is kept may be of another test.
        app = app_or_default(None)
        loaded = load_settings(app_settings=app.conf.get("attune_tasks"))
    except AttuneTasksError as error:
        return [Error(str(error), hint=f"See {ORIGIN}.", id="attune_tasks.E001")]
    except Exception as error:  # noqa: BLE001 - of the project's Celery settings; its text may quote a URL
        hint = "See the project's Celery app, and CELERY_… in Django's settings."
        return [Error(f"The Celery app can't be used: {type(error).__name__}.", hint=hint, id="attune_tasks.E001")]
    found += _packs(loaded)
    found += _provider(loaded)
    found += _celery_app(app)
    found += _open_files(loaded)
    found += _sign_in()
    return found


def _packs(loaded: LoadedSettings) -> Iterator[CheckMessage]:
    from attune_tasks.known_packs import load_packs

    try:
        registry = load_packs(loaded)
    except AttuneTasksError as error:
        hint = "`manage.py attune packs validate` names every fault."
        yield Error(str(error), hint=hint, id="attune_tasks.E002")
        return
    if not len(registry):
        hint = "Name the folders in ATTUNE_TASKS['packs'], or write a pack by `manage.py attune init`."
        yield Warning("No action is known here.", hint=hint, id="attune_tasks.W003")


def _provider(loaded: LoadedSettings) -> Iterator[CheckMessage]:
    from attune_tasks.secrets import create_provider

    secrets = loaded.settings.secrets
    hint = "See ATTUNE_TASKS['secrets']."
    try:
        create_provider(secrets.provider, secrets)
    except AttuneTasksError as error:
        # Web processes need no provider: only a worker does.
        yield Warning(f"The secret provider {secrets.provider}: {error}", hint=hint, id="attune_tasks.W004")
        return
    if secrets.provider == "file" and secrets.file.path is not None and not secrets.file.path.exists():
        text = f"The secrets' file {secrets.file.path} does not exist here."
        yield Warning(text, hint=f"{hint} Where workers run elsewhere, silence this check.", id="attune_tasks.W004")


def _celery_app(app: Any) -> Iterator[CheckMessage]:
    from django.conf import settings

    celery_is_set_up = any(name.startswith("CELERY_") for name in dir(settings))
    is_ready_made = app is getattr(sys.modules.get("attune_tasks.app"), "app", None)
    if celery_is_set_up and is_ready_made:
        hint = "Import it in the project's __init__.py: `from project.celery import app`."
        text = "The settings have CELERY_…, but the project's Celery app is not loaded: the ready-made one is used."
        yield Warning(text, hint=hint, id="attune_tasks.W005")


def _open_files(loaded: LoadedSettings) -> Iterator[CheckMessage]:
    files = list(_paths_in(loaded.settings.secrets.model_dump()))
    if loaded.settings.message_key_file is not None:
        files.append(loaded.settings.message_key_file)
    for path in files:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & 0o077:
            text = f"{path} is open to other users (mode {mode:04o})."
            yield Error(text, hint=f"Run `chmod 600 {path}`.", id="attune_tasks.E006")


def _sign_in() -> Iterator[CheckMessage]:
    """Say it where nobody could sign in, or where a function of the project's own lets everybody in unseen."""
    from django.utils.module_loading import import_string

    named = django_options().authenticate
    if named is not None:
        try:
            import_string(named)
        except ImportError:
            text = f"ATTUNE_TASKS['django']['authenticate']: there is no {named}."
            yield Error(text, hint="Give a function by its dotted path.", id="attune_tasks.E007")
    elif not apps.is_installed("django.contrib.auth"):
        text = "django.contrib.auth is not installed: nobody can be signed in, and all views refuse."
        yield Warning(text, hint="Install it, or set ATTUNE_TASKS['django']['authenticate'].", id="attune_tasks.W007")


def _paths_in(group: Any) -> Iterator[Path]:
    for name, value in group.items():
        if isinstance(value, dict):
            yield from _paths_in(value)
        elif name in _FILES and isinstance(value, Path):
            yield value
