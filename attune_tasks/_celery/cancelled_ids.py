"""Which executions are not to run, as a worker's main process remembers it."""

from __future__ import annotations

from typing import Final

from celery.worker import state as worker_state

from attune_tasks._celery.executions_here import EXECUTIONS

__all__ = ["is_noted", "note"]

_PREFIX: Final = "attune_tasks.cancel:"


def note(execution_id: int) -> None:
    """Remember that an execution was cancelled, for three hours and among at most 10,000 others.

    Celery's set of revoked ids gets it, too, in a form of ours: workers that start while this one runs ask for that
    set, and ``--statedb`` keeps it.
    """
    EXECUTIONS.cancel(execution_id, "cancelled")
    worker_state.revoked.add(f"{_PREFIX}{execution_id}")


def is_noted(execution_id: int) -> bool:
    """Say whether an execution is not to run."""
    return EXECUTIONS.noted(execution_id) is not None or f"{_PREFIX}{execution_id}" in worker_state.revoked
