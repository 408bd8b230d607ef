"""The ids of what follows an execution: the same, whoever sends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid5

__all__ = ["name_what_follows"]

_LINKED: Final = UUID("6f7d3c2a-5f0e-4b1c-9d0a-2b8f5f6f8a11")
"""The name space of the ids of linked tasks."""


def name_what_follows(task_id: str, callbacks: Sequence[Any] | None) -> None:
    """Give each linked task an id made from `task_id`: where a worker is lost meanwhile, a reaper sends it, too.

    Of two messages with one id an action is run once; what follows in a chain has its id already.
    """
    for number, callback in enumerate(callbacks or ()):
        callback.setdefault("options", {}).setdefault("task_id", str(uuid5(_LINKED, f"{task_id}:{number}")))
