"""``ATTUNE_TASKS`` of Django's settings: attune_tasks' own settings, and under ``"django"`` those of this app."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

from django.conf import settings
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from attune_tasks.errors import SettingsError
from attune_tasks.expectations import expectation
from attune_tasks.nearest import did_you_mean

__all__ = ["NAME", "ORIGIN", "RECORDS_SURFACE", "DjangoOptions", "age_of", "django_options", "read_settings"]

NAME: Final = "ATTUNE_TASKS"
ORIGIN: Final = "ATTUNE_TASKS of Django's settings"
RECORDS_SURFACE: Final = "Django records"
"""What leak-check calls its look at the tables."""
_OWN: Final = "django"
_AGE: Final = re.compile(r"(\d{1,6})\s*(d|h|m|s)")
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def age_of(text: Any) -> timedelta:
    """Read an age: ``30d``, ``12h``, ``90m``, ``45s``. Raises ValueError."""
    if isinstance(text, timedelta):
        return text
    found = _AGE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        msg = "expected an age, as 30d, 12h, 90m or 45s"
        raise ValueError(msg)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


class DjangoOptions(BaseModel):
    """What stands under ``"django"``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    record: bool = Field(default=True, description="Whether executions are recorded in the database.")
    keep: Annotated[timedelta, BeforeValidator(age_of)] | None = Field(
        None, description="Age at which ended executions are deleted, as 30d; none: by `manage.py attune prune` alone."
    )
    output_bytes: Annotated[int, Field(ge=0)] = Field(
        16_384, description="Bytes kept of each stream's end in the database."
    )
    authenticate: str | None = Field(
        None, description="Function of the JSON views, dotted: takes the request, gives a user or None."
    )


def read_settings() -> Mapping[str, Any]:
    """Give what attune_tasks itself is to know of ``ATTUNE_TASKS``."""
    given: Any = getattr(settings, NAME, {})
    return {name: value for name, value in given.items() if name != _OWN} if isinstance(given, Mapping) else given


def django_options() -> DjangoOptions:
    """Give the options of this app. Raises SettingsError, which quotes no value."""
    given: Any = getattr(settings, NAME, {})
    own = given.get(_OWN, {}) if isinstance(given, Mapping) else {}
    try:
        return DjangoOptions.model_validate(own)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    raise SettingsError(problems=[_fault(each) for each in errors])


def _fault(error: Any) -> str:
    key = [str(part) for part in error["loc"]]
    text = expectation(error)
    if error["type"] == "extra_forbidden":
        text = f"unknown setting{did_you_mean(key[-1], DjangoOptions.model_fields)}"
    elif error["type"] == "value_error":
        text = str(error["ctx"]["error"]) if "ctx" in error else text
    return f"{ORIGIN}: {'.'.join([_OWN, *key])}: {text}"
