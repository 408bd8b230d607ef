"""Cancelling an execution from outside: by its id, wherever it runs or waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from celery import Celery, states

from attune_tasks._celery.asking_workers import ANSWER_SECONDS, ask_workers
from attune_tasks._celery.control_names import CANCEL
from attune_tasks._celery.shared_notes import leave_note
from attune_tasks.ids import task_id_of

__all__ = ["CancelAnswer", "cancel_execution"]

Outcome = Literal["cancelling", "cancelled", "noted", "ended", "no_worker"]
_BY_WEIGHT: Final[tuple[Outcome, ...]] = ("cancelling", "cancelled", "noted")


@dataclass(frozen=True, slots=True)
class CancelAnswer:
    """What came of asking for the end of an execution."""

    outcome: Outcome
    """``cancelling``: it runs, and is being ended; ``cancelled``: it waited, and has ended;
    ``noted``: no worker has it, and it is not started by those that answered, nor, with a Redis for shared state, by
    those that start within a day; ``ended``: it had ended before; ``no_worker``: no worker answered."""
    workers: tuple[str, ...] = ()
    """Who said so."""

    def __str__(self) -> str:
        """Say it in a sentence."""
        by = ", ".join(self.workers) or "a worker that starts"
        return {
            "cancelling": f"it is being ended by {by}",
            "cancelled": f"it waited in {', '.join(self.workers) or 'no worker'}, and is not started",
            "noted": f"it runs nowhere that is known; {by} will not start it",
            "ended": "it had ended before",
            "no_worker": "no worker answered, and nobody will know: it may still be started, or run on",
        }[self.outcome]


def cancel_execution(
    app: Celery, execution_id: int, task_id: str | None = None, timeout: float = ANSWER_SECONDS
) -> CancelAnswer:
    """Ask all workers to end an execution; wait for at most `timeout` seconds for one that has it.

    `task_id` is by default that of an execution that :func:`attune_tasks.enqueue` made; whether one of a foreign task
    has ended already can't be seen without it.
    """
    task_id = task_id or task_id_of(execution_id)
    if app.AsyncResult(task_id).state in states.READY_STATES:
        return CancelAnswer("ended")
    noted = leave_note(app, execution_id)
    answers = ask_workers(
        app,
        CANCEL,
        {"execution_id": str(execution_id)},
        timeout=timeout,
        is_enough=lambda answer: answer in {"cancelling", "cancelled"},
    )
    if not set(answers.values()) & {"cancelling", "cancelled"} and _waits(app, execution_id):
        return CancelAnswer("cancelled")
    for outcome in _BY_WEIGHT:
        if found := tuple(sorted(name for name, answer in answers.items() if answer == outcome)):
            return CancelAnswer(outcome, found)
    return CancelAnswer("noted") if noted else CancelAnswer("no_worker")


def _waits(app: Celery, execution_id: int) -> bool:
    """End an execution that waits in the shared state, for others or for its next attempt; give whether it was so."""
    from attune_tasks._celery.claims.reaping import cancel_waiting

    return cancel_waiting(app, execution_id)
