"""The ids of what follows an execution: the same, whoever sends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid5

__all__ = ["name_what_follows"]

_LINKED: Final = UUID("6f7d3c2a-5f0e-4b1c-9d0a-2b8f5f6f8a11")
"""The name space of the ids of linked tasks."""
_DEEPEST: Final = 20


def name_what_follows(task_id: str, request: Any) -> None:
    """Give each task that is linked to a request an id made from `task_id`.

    Where a worker is lost while it sends them, a reaper sends them, too. Of two messages with one id an action is run
    once; what follows in a chain has its id already.
    """
    for kind in ("callbacks", "errbacks"):
        _name(getattr(request, kind, None) or (), f"{task_id}:{kind}", 0)


def _name(signatures: Sequence[Any], place: str, depth: int) -> None:
    for number, signature in enumerate(signatures):
        if not isinstance(signature, dict) or depth > _DEEPEST:
            continue
        here = f"{place}:{number}"
        within = (signature.get("kwargs") or {}).get("tasks")
        if signature.get("task") in {"celery.chain", "celery.group"} and isinstance(within, list | tuple):
            _name(within, here, depth + 1)  # an id of the whole would be its last task's
        else:
            signature.setdefault("options", {}).setdefault("task_id", str(uuid5(_LINKED, here)))
