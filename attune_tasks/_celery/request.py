"""The worker's view of one message: keeps events small, whoever sent it and whatever came out."""

from __future__ import annotations

from typing import Any, Final

from attune_tasks._celery.calls import clip, shown_of
from attune_tasks._celery.claims.request import ClaimedRequest

__all__ = ["ActionRequest"]

_FIELD_BYTES: Final = 400
"""So that an event, which has at most three long fields, stays under 2 KiB."""


_DEPTH: Final = 80
"""Levels; parameters may have 64."""


class ActionRequest(ClaimedRequest):
    """A request of run_action."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Show the arguments by the names in them only, and cut what is nested too deep for pickle.

        By pickle it goes to a pool process: a slot would be lost for good. The task reads its arguments from the
        message's body, and refuses these.
        """
        super().__init__(*arguments, **options)
        # Who sends by name only (send_task, beat without the task, another language) has values in these.
        self._argsrepr, self._kwargsrepr = self.request_dict["argsrepr"], self.request_dict["kwargsrepr"] = shown_of(
            self.request_dict["args"], self.request_dict["kwargs"]
        )
        for name in ("args", "kwargs"):
            self.request_dict[name] = _cut(self.request_dict[name], _DEPTH)

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's own
        """Cut each text: a traceback or a result in another script takes up to six bytes per letter."""
        cut = {name: clip(value, _FIELD_BYTES) if isinstance(value, str) else value for name, value in fields.items()}
        super().send_event(type, **cut)


def _cut(value: Any, depth: int) -> Any:
    if not isinstance(value, dict | list | tuple):
        return value
    if not depth:
        return "..."
    if isinstance(value, dict):
        return {name: _cut(item, depth - 1) for name, item in value.items()}
    return [_cut(item, depth - 1) for item in value]
