"""One execution in a worker, so that it can be cancelled, and is told as what ended it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from attune_tasks._celery.claims.keeping import KEEPER
from attune_tasks._celery.executions_here import EXECUTIONS, ExecutionCancellation, Reason

if TYPE_CHECKING:
    from attune_tasks.context import ExecutionRequest
    from attune_tasks.executor import ActionExecutor
    from attune_tasks.process import LiveSink
    from attune_tasks.result import ExecutionResult, Status

__all__ = ["MESSAGES", "execute_cancellable"]

MESSAGES: Final[dict[Reason, str]] = {
    "cancelled": "the execution was cancelled",
    "revoked": "its Celery task was revoked",
    "worker_shutdown": "its worker was shut down before the action had ended",
    "soft_time_limit": "Celery's soft time limit passed before the action had ended",
    "claim_lost": "its worker could not keep its claim on it, so that another one may run it",
}
_STATUSES: Final[dict[Reason, Status]] = {"soft_time_limit": "timed_out", "claim_lost": "error"}


def execute_cancellable(
    executor: ActionExecutor, request: ExecutionRequest, live: LiveSink | None = None
) -> ExecutionResult:
    """Run one execution to its end, as ``executor.execute`` does."""
    with EXECUTIONS.running(request.execution_id) as cancellation, _soft_time_limit(cancellation):
        cancellation.lease = KEEPER.lease(request.execution_id)
        result = executor.execute(request, cancellation, live)
    if result.status != "cancelled" or cancellation.reason == "cancelled":
        return result
    error = {"type": cancellation.reason, "message": MESSAGES[cancellation.reason]}
    return replace(result, status=_STATUSES.get(cancellation.reason, "cancelled"), error=error)


@contextmanager
def _soft_time_limit(cancellation: ExecutionCancellation) -> Iterator[None]:
    """Let Celery's soft time limit end the action as our own deadline does: its output is kept, and it has its grace.

    In a pool process the limit is a signal, whose handler would raise in the midst of whatever is done.
    """
    number = getattr(signal, "SIGUSR1", None)
    here = number is not None and threading.current_thread() is threading.main_thread()
    before: Any = signal.getsignal(number) if here and number is not None else None
    if number is None or getattr(before, "__name__", "") != "soft_timeout_sighandler":  # billiard's
        yield
        return
    signal.signal(number, lambda *_: cancellation.cancel_for("soft_time_limit"))
    try:
        yield
    finally:
        signal.signal(number, before)
