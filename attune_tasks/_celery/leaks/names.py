"""The names that leak-check goes by between client, worker and scanner. Clients load this."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["QUEUE_PREFIX", "SCANNER_COMMAND", "is_watched"]

QUEUE_PREFIX: Final = "attune-leak-check."
"""Of the queue that a check's executions come by. What comes by it gets what the check says, or no secret."""
SCANNER_COMMAND: Final = "attune_tasks._celery.leaks.scanner"


def is_watched(request: Any) -> bool:
    """Say whether a task's request came by the queue of a check."""
    delivery = getattr(request, "delivery_info", None) or {}
    return str(delivery.get("routing_key") or "").startswith(QUEUE_PREFIX)
