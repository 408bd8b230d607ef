"""The app: with it in INSTALLED_APPS, worker, web process and manage.py have the settings, the task and the records."""

from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate

__all__ = ["AttuneTasksConfig"]


class AttuneTasksConfig(AppConfig):
    """``attune_tasks.contrib.django``."""

    name = "attune_tasks.contrib.django"
    label = "attune_tasks"
    verbose_name = "Actions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect: Celery calls ``django.setup()`` in a worker before it reads what we need."""
        import attune_tasks.tasks  # noqa: F401 - the task is there in every app, without `include` in its settings
        from attune_tasks.contrib.django import checks, server_checks  # noqa: F401 - they register themselves
        from attune_tasks.contrib.django.connecting import connect
        from attune_tasks.contrib.django.permissions import make_permissions_after_migrate

        connect()
        post_migrate.connect(make_permissions_after_migrate, sender=self)
