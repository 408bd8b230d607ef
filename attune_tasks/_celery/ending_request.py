"""The worker's view of one message, as far as its end is concerned: each way to end has a final state.

Celery has states of its own for what only its main process sees: RETRY for ever for what a cold shutdown ended,
WorkerLostError, TimeLimitExceeded. Here each of them is a FAILURE with ActionFailed, like all other ends.
"""

from __future__ import annotations

import logging
import time
from functools import cached_property
from typing import Any, Final

from billiard.einfo import ExceptionInfo, ExceptionWithTraceback  # type: ignore[attr-defined]  # not in its stubs
from celery import signals, states
from celery.concurrency.base import BasePool
from celery.exceptions import InvalidTaskError, TimeLimitExceeded, WorkerLostError
from celery.worker import state as worker_state
from celery.worker.request import Request

from attune_tasks._celery.calls import MAXIMUM_REF
from attune_tasks._celery.cancellable import MESSAGES
from attune_tasks._celery.cancelled_ids import is_noted
from attune_tasks._celery.executions_here import EXECUTIONS, Reason
from attune_tasks._celery.metrics.figures import FIGURES
from attune_tasks._celery.pool_channels import CHANNELS
from attune_tasks._celery.publishing import on_behalf_of
from attune_tasks.attempts import attempt_after
from attune_tasks.errors import ActionFailed
from attune_tasks.ids import execution_id_of
from attune_tasks.log_fields import about
from attune_tasks.process import end_abandoned
from attune_tasks.result import NOT_STARTED, ExecutionResult, Status

__all__ = ["EndingRequest", "end_what_is_left"]

logger: Final = logging.getLogger("attune_tasks.worker")

_LOST: Final = (
    "the worker's process that ran the action was lost (killed, or out of memory); all of the action was ended"
)
_HARD_LIMIT: Final = (
    "Celery's hard time limit of {:g} seconds passed; the action was killed, and what it had printed is lost"
)


class EndingRequest(Request):
    """A request of run_action that ends in SUCCESS, in FAILURE with ActionFailed, or as Celery's own revoke has it."""

    _apply_result: Any  # these four are Celery's; its type stubs do not have them
    _context: Any
    _already_revoked: bool
    _already_cancelled: bool
    _ended = _shut_down = _cancelled_on_arrival = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take a message; Celery is to ask at once whether one that was cancelled already is to run."""
        super().__init__(*arguments, **options)
        if not isinstance(self.id, str) or not self.id or self.id != self.id.encode(errors="ignore").decode():
            msg = "a task's id is text that is not empty, and holds no lone surrogate"
            raise InvalidTaskError(msg)
        self._received = time.time()
        if self.id not in worker_state.revoked and is_noted(self.execution_id):
            self._cancelled_on_arrival = True
            worker_state.revoked.add(self.id)  # by which Celery's strategy sees it, whatever its ETA

    @cached_property
    def execution_id(self) -> int:
        """The execution that the message asks for."""
        return execution_id_of(self.id)

    @property
    def log_fields(self) -> dict[str, str]:
        """What a record of the log says of it, as `extra`."""
        return about(self.execution_id, self._ref(), self.id)

    @property
    def has_ended(self) -> bool:
        """Whether it has its end, or nothing is to be done for it."""
        return self._ended

    def may_run(self, *, uses_event_loop: bool) -> bool:
        """Say whether it runs by now, or may have begun.

        Without Celery's event loop the pool has a queue of its own, and what was handed over may wait there; with it,
        only a free pool process is handed anything.
        """
        handed_over = uses_event_loop and self._apply_result is not None
        return self.time_start is not None or handed_over or EXECUTIONS.runs(self.execution_id)

    def revoked(self) -> bool:
        """Say whether it is not to be run, and store its end then."""
        if self._ended:
            worker_state.task_ready(self)  # which is reserved again when its ETA has come
            return True
        if self._cancelled_on_arrival or (self.id not in worker_state.revoked and is_noted(self.execution_id)):
            self.end("cancelled", "cancelled", NOT_STARTED)
            return True
        return bool(super().revoked())

    def end_before_start(self) -> None:
        """End it as cancelled, in the queue."""
        self.end("cancelled", "cancelled", NOT_STARTED)

    def end(self, status: Status, kind: str, message: str) -> None:
        """Store a final FAILURE with ActionFailed, once; acknowledge the message, and tell who listens."""
        if self._ended:
            return
        self._ended = True
        self.store_end(self.result_of(status, kind, message))

    def store_end(self, result: ExecutionResult) -> None:
        """Do what :meth:`end` does."""
        if not self.record(states.FAILURE, result.to_dict()):
            worker_state.task_ready(self)
            self.acknowledge()
            return
        try:
            raise ActionFailed(result.to_dict())  # noqa: TRY301 - Celery's receivers want one that was raised
        except ActionFailed as error:
            failure, info = error, ExceptionInfo()
        worker_state.task_ready(self)
        said = (result.error or {}).get("message")
        status = result.status.replace("_", " ")
        logger.warning("execution %s %s: %s", self.execution_id, status, said, extra=self.log_fields)
        with on_behalf_of(self.task.app, self.message.headers, self._context):
            self.task.app.backend.mark_as_failure(
                self.id, failure, request=self._context, store_result=self.store_errors, traceback=info.traceback
            )
        self.acknowledge()
        FIGURES.end(self._ref(), result.status)
        self.send_event("task-failed", exception=repr(failure), traceback="")
        signals.task_failure.send(
            sender=self.task,
            task_id=self.id,
            exception=failure,
            args=self.args,
            kwargs=self.kwargs,
            traceback=info.traceback,
            einfo=info,
        )
        self.delivered()

    def result_of(self, status: Status, kind: str, message: str) -> ExecutionResult:
        """Make the result of an execution whose end only this process saw."""
        attempt = attempt_after(self.request_dict.get("retries"))
        return ExecutionResult.without_child(self.execution_id, self._ref(), kind, message, status, attempt)

    def told(self) -> dict[str, Any]:
        """Tell who asks what it is, and how it stands."""
        since = self.time_start or self._received
        return {
            "execution_id": str(self.execution_id),
            "task_id": self.id,
            "action_ref": self._ref(),
            "state": "running" if self.time_start else "reserved",
            "age_seconds": max(0, int(time.time() - since)),
            "attempt": attempt_after(self.request_dict.get("retries")),
        }

    def record(self, state: str, result: Any) -> bool:  # noqa: ARG002 - for a subclass
        """Note the final state before it is stored; give whether it is to be stored, for there is no other one."""
        return True

    def delivered(self) -> None:
        """Note that the final state is stored, and what follows is sent."""

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002 - Celery's own
        """End it for a cold shutdown, as a cancellation does: SIGTERM, the grace, SIGKILL; it stores its end itself.

        Celery would kill the pool process and store RETRY, from which nothing follows.
        """
        self._shut_down = True
        told = self._have_it_cancelled("worker_shutdown")
        CHANNELS.send_close()  # of the pool, too, but that takes Celery some seconds
        if told:
            return
        super().cancel(pool, signal, emit_retry=False)
        self.end("cancelled", "worker_shutdown", MESSAGES["worker_shutdown"])

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End it for ``revoke(terminate=True)``, in the pools whose slots are no processes, too."""
        if getattr(pool.terminate_job, "__func__", None) is BasePool.terminate_job:  # which raises NotImplementedError
            self._have_it_cancelled("revoked")
        else:
            super().terminate(pool, signal)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:  # noqa: FBT001, FBT002 - Celery's own
        """Store the end of what a pool process could not store itself."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        lost = self.is_loss(error, return_ok=return_ok)
        if not (lost or isinstance(error, TimeLimitExceeded)) or self._already_revoked or self._already_cancelled:
            return super().on_failure(exc_info, send_failed_event, return_ok)
        if self._stored_state() == states.SUCCESS:
            return super().on_failure(exc_info, send_failed_event, return_ok)
        if not lost:
            return None  # on_timeout is called next
        if self.worker_pid:
            end_abandoned(int(self.worker_pid), self.execution_id)
        if self._stored_state() in states.READY_STATES:
            worker_state.task_ready(self)
            return None
        return self._end_lost()

    def is_loss(self, error: BaseException, *, return_ok: bool) -> bool:  # noqa: ARG002 - for a subclass
        """Say whether the process that ran it is gone; `return_ok`: it told of an end that it has stored."""
        return isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001 - Celery's own
        """Store the end by the hard time limit."""
        if soft or worker_state.should_terminate:
            super().on_timeout(soft, timeout)
        elif self._stored_state() in states.READY_STATES:
            worker_state.task_ready(self)
        else:
            self.end("timed_out", "hard_time_limit", _HARD_LIMIT.format(timeout))

    def end_with_worker(self) -> None:
        """Store the end of what runs no more, now that the worker ends."""
        if not (self._already_revoked or self._stored_state() in states.READY_STATES):
            self._end_lost()

    def _end_lost(self) -> None:
        if self._shut_down:
            self.end("cancelled", "worker_shutdown", MESSAGES["worker_shutdown"])
        else:
            self.end("error", "worker_lost", _LOST)

    def _have_it_cancelled(self, reason: Reason) -> bool:
        """Cancel it where it runs; give whether there is a way to there."""
        return EXECUTIONS.cancel(self.execution_id, reason) or bool(CHANNELS.send(self.execution_id, reason))

    def _stored_state(self) -> str:
        backend = self.task.backend
        try:
            if self.ignore_result or backend.as_uri() == "rpc://":  # whose results are in their caller's queue
                return states.PENDING
            return str(backend.get_state(self.id))
        except Exception:  # noqa: BLE001 - whatever a backend raises: what can't be read is taken for not stored
            return states.PENDING

    def _ref(self) -> str:
        args = self.args
        ref = args[0] if isinstance(args, list | tuple) and args else self.name
        return str(ref)[:MAXIMUM_REF]


def end_what_is_left() -> None:
    """Store the end of all that was running and can't be any more: the pool is gone, the worker ends."""
    for request in list(worker_state.active_requests):
        if isinstance(request, EndingRequest):
            try:
                request.end_with_worker()
            except Exception as error:  # noqa: BLE001 - the backend's own, whose text may quote its URL
                logger.error(  # noqa: TRY400
                    "the end of execution %s can't be stored: %s",
                    request.execution_id,
                    type(error).__name__,
                    extra=request.log_fields,
                )
