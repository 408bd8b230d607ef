"""What of an execution may stand in a database, and in a form which every database takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.utils import timezone

from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import AttuneTasksError

if TYPE_CHECKING:
    from attune_tasks.packs import Action

__all__ = ["MASK", "blanked", "clean_json", "clean_text", "clean_time", "known_action", "shown_parameters", "tail"]

MASK: Final = "***"
_LARGEST: Final = 65_536
"""Bytes of parameters as JSON; of more, the names alone are kept."""


def known_action(app: Any, ref: str) -> Action | None:
    """Give an action whose pack is known here; None for others, and where packs or settings are broken."""
    try:
        registry = state_of(app).registry
    except AttuneTasksError:
        return None
    return registry.get(ref) if ref in registry else None


def shown_parameters(action: Action | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters as they are recorded.

    They are public, but a caller may be mistaken: of a secret parameter only an allowed reference is kept, and of a
    parameter that the action does not name nothing; where the action is not known here, that is so for all.
    """
    if action is None:
        return blanked(parameters)
    schema = action.schema.schema
    is_closed = schema.get("additionalProperties", schema.get("unevaluatedProperties", True)) is False
    is_closed = is_closed and not schema.get("patternProperties")
    shown: dict[str, Any] = {}
    for name, value in parameters.items():
        secret = action.schema.secret_parameters.get(name)
        if secret is not None:
            is_shown = isinstance(value, str) and value in secret.allow
        else:
            is_shown = name in schema.get("properties", {}) or not is_closed
        shown[str(name)] = value if is_shown else MASK
    cleaned: dict[str, Any] = clean_json(shown)
    return cleaned if len(json.dumps(cleaned)) <= _LARGEST else blanked(parameters)


def blanked(values: Mapping[str, Any]) -> dict[str, str]:
    """Give the names alone."""
    return {clean_text(str(name)): MASK for name in values}


def tail(text: object, size: int) -> str:
    """Give the end of an output, at most `size` bytes."""
    data = clean_text(str(text)).encode()
    return data[-size:].decode(errors="ignore") if size else ""


def clean_text(text: str) -> str:
    """Replace what PostgreSQL or UTF-8 does not take: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def clean_json(value: Any) -> Any:
    """Do the same for a JSON value; numbers which JSON does not have become null."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(str(name)): clean_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def clean_time(value: datetime | str | None) -> datetime | None:
    """Read a time, and give it as this project's database has times."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if value is not None and timezone.is_aware(value) and not settings.USE_TZ:
        return timezone.make_naive(value)
    return value
