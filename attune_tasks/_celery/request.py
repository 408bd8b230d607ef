"""The worker's view of one message: keeps events small, whoever sent it and whatever came out."""

from __future__ import annotations

from typing import Any, Final

from celery.worker.request import Request

from attune_tasks._celery.calls import clip

__all__ = ["ActionRequest"]

_FIELD_BYTES: Final = 400
"""So that an event, which has at most three long fields, stays under 2 KiB."""


class ActionRequest(Request):
    """A request of run_action."""

    @property
    def argsrepr(self) -> str:
        """The positional arguments as events show them; a foreign sender's may be long."""
        return clip(str(super().argsrepr), _FIELD_BYTES)

    @property
    def kwargsrepr(self) -> str:
        """The keyword arguments as events show them."""
        return clip(str(super().kwargsrepr), _FIELD_BYTES)

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's own
        """Cut each text: a traceback or a result in another script takes up to six bytes per letter."""
        cut = {name: clip(value, _FIELD_BYTES) if isinstance(value, str) else value for name, value in fields.items()}
        super().send_event(type, **cut)
