"""What a page shows of an action's secrets: names, references, whether they are there. Never a value."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from attune_tasks._celery.enqueueing import app_or_default
from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import AttuneTasksError

if TYPE_CHECKING:
    from attune_tasks.packs import Action

__all__ = ["SecretSeen", "secrets_of"]


class SecretSeen(NamedTuple):
    """One reference."""

    name: str
    reference: str
    kind: str
    """``required``, ``optional`` or ``parameter``."""
    found: str
    """``found``, ``not found``, or empty where nobody has looked."""
    reason: str


def secrets_of(action: Action, *, look: bool) -> list[SecretSeen]:
    """List the references of an action; `look`: try each by the provider of this process, which reads its value."""
    from attune_tasks.packs import SecretDeclaration

    declared = [("required" if each.required else "optional", each) for each in action.secrets.values()]
    declared += [
        ("parameter", SecretDeclaration(parameter.name, reference))
        for parameter in action.schema.secret_parameters.values()
        for reference in parameter.allow
    ]
    if not look:
        return [SecretSeen(each.name, each.ref, kind, "", "") for kind, each in declared]
    seen = []
    for kind, each in declared:
        try:
            manager = state_of(app_or_default(None)).executor.secret_manager
            (check,) = manager.check(replace(action, secrets={each.name: each}))
            found, reason = ("found", "") if check.ok else ("not found", check.reason)
        except AttuneTasksError as error:
            found, reason = "not found", str(error)
        seen.append(SecretSeen(each.name, each.ref, kind, found, reason))
    return seen
