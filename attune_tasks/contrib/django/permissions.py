"""Who may see, run and cancel: Django's own permissions, on the model Execution.

``attune_tasks.run:*`` is for all actions, ``attune_tasks.run:billing`` for those of a pack, and
``attune_tasks.run:billing.close_month`` for one. They are made for the packs that are known, by ``migrate`` and by
``manage.py attune permissions``.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from attune_tasks._celery.enqueueing import app_or_default
from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import AttuneTasksError

__all__ = [
    "make_permissions",
    "make_permissions_after_migrate",
    "may_cancel",
    "may_check_secrets",
    "may_run",
    "may_run_any",
    "may_view",
    "may_view_all",
]

logger: Final = logging.getLogger("attune_tasks.django")

_APP: Final = "attune_tasks"
_LONGEST: Final = 100
"""Characters of a permission's codename."""


def may_view_all(user: Any) -> bool:
    """Say whether `user` sees every execution."""
    return bool(user.has_perm(f"{_APP}.view_execution"))


def may_view(user: Any, execution: Any) -> bool:
    """Say whether `user` sees this execution: one of his own, or any."""
    is_own = execution.user_id is not None and execution.user_id == user.pk
    return bool(user.is_active and is_own) or may_view_all(user)


def may_run(user: Any, ref: str) -> bool:
    """Say whether `user` may run the action `ref`, known here or not."""
    names = ("*", ref.partition(".")[0], ref)
    return any(user.has_perm(f"{_APP}.run:{name}") for name in names)


def may_run_any(user: Any) -> bool:
    """Say whether there is any action that `user` may run."""
    return any(name.startswith(f"{_APP}.run:") for name in user.get_all_permissions())


def may_cancel(user: Any) -> bool:
    """Say whether `user` may cancel what he may see."""
    return bool(user.has_perm(f"{_APP}.cancel_execution"))


def may_check_secrets(user: Any) -> bool:
    """Say whether `user` may look whether secrets are there."""
    return bool(user.has_perm(f"{_APP}.check_secrets"))


def make_permissions(using: str | None = None) -> list[str]:
    """Make the permissions of all packs and actions that are known here; give the names of those that are new.

    Those of actions which are gone stay. Raises SettingsError and PackError.
    """
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType

    from attune_tasks.contrib.django.models import Execution

    registry = state_of(app_or_default(None)).registry
    names = {pack.ref: f"Can run actions of {pack.ref}" for pack in registry.packs}
    names |= {action.ref: f"Can run {action.ref}" for action in registry.actions}
    content_type = ContentType.objects.db_manager(using).get_for_model(Execution)
    rows = Permission.objects.using(using) if using else Permission.objects.all()
    there = set(rows.filter(content_type=content_type).values_list("codename", flat=True))
    new = {f"run:{name}": text[:255] for name, text in names.items() if f"run:{name}" not in there}
    if too_long := [codename for codename in new if len(codename) > _LONGEST]:
        logger.warning("no permissions of their own, for their names are too long: %s", ", ".join(too_long))
    made = [
        Permission(codename=codename, name=text, content_type=content_type)
        for codename, text in new.items()
        if len(codename) <= _LONGEST
    ]
    rows.bulk_create(made, ignore_conflicts=True)
    return [permission.codename for permission in made]


def make_permissions_after_migrate(using: str, apps: Any, **_: Any) -> None:
    """Make them when tables are there; broken packs are told by the checks, which ``migrate`` asks first."""
    if not {"auth", "contenttypes"} <= {config.label for config in apps.get_app_configs()}:
        return
    from django.contrib.auth.models import Permission
    from django.db import router

    if not router.allow_migrate_model(using, Permission):
        return
    try:
        make_permissions(using)
    except AttuneTasksError as error:
        logger.warning("no permissions are made for packs: %s", type(error).__name__)
