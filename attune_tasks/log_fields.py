"""Which execution a record of the log is about: the attributes ``execution_id``, ``action`` and ``task_id``.

They are on each record that attune_tasks writes about an execution, as text; :class:`ExecutionFilter`, put on a
handler, has them on all records, those of libraries among them that are logged in an execution's thread. Nothing else
is added: no parameter, and no value.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["LOGGERS", "ExecutionFilter", "about", "logged_as", "one_line"]

LOGGERS: Final = tuple(
    f"attune_tasks.{name}"
    for name in (
        "audit",
        "claims",
        "django",
        "executor",
        "flask",
        "messages",
        "metrics",
        "observers",
        "process",
        "schedule",
        "secrets",
        "worker",
    )
)
"""The names of attune_tasks' loggers."""

_LONGEST: Final = 200
_FIELDS: Final = ("execution_id", "action", "task_id")
_current: Final[ContextVar[dict[str, str] | None]] = ContextVar("attune_tasks_logged_as", default=None)


class ExecutionFilter(logging.Filter):
    """For a handler: gives each record the three attributes, and lets all of them pass."""

    def __init__(self, missing: str | None = None) -> None:
        """`missing` is what an attribute is where it is not known."""
        super().__init__()
        self._missing = missing

    def filter(self, record: logging.LogRecord) -> bool:
        """Set what the record does not have."""
        _set_known(record)
        for name in _FIELDS:
            if not hasattr(record, name):
                setattr(record, name, self._missing)
        return True


class _KnownFields(logging.Filter):
    """For our loggers: sets what is known, so that a handler's own filter, or a formatter's defaults, do the rest."""

    def filter(self, record: logging.LogRecord) -> bool:
        _set_known(record)
        return True


def _set_known(record: logging.LogRecord) -> None:
    current = _current.get()
    # What runs an execution may say something of another one.
    if current is None or getattr(record, "execution_id", current["execution_id"]) != current["execution_id"]:
        return
    for name, text in current.items():
        if not hasattr(record, name):
            setattr(record, name, text)


@contextmanager
def logged_as(execution_id: int, action: object, task_id: object) -> Iterator[None]:
    """Have what is logged in this thread be about an execution."""
    token = _current.set(about(execution_id, action, task_id))
    try:
        yield
    finally:
        _current.reset(token)


def about(execution_id: int, action: object = None, task_id: object = None) -> dict[str, str]:
    """Give the fields of one record, for `extra`: what is known of them, each one line of text."""
    fields = {"execution_id": str(execution_id)}
    return fields | {name: one_line(value) for name, value in zip(_FIELDS[1:], (action, task_id), strict=True) if value}


def one_line(text: object, length: int = _LONGEST) -> str:
    """Make one printable line of what a stranger sent: it goes into the log."""
    return "".join(character if character.isprintable() else "?" for character in str(text)[:length])


for _name in LOGGERS:  # a filter is not inherited by the loggers below
    logging.getLogger(_name).addFilter(_KnownFields())
