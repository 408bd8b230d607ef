"""The handle of an execution that was enqueued."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from celery import Celery, states
from celery.exceptions import TimeoutError as CeleryTimeoutError

from attune_tasks._celery.asking_workers import ANSWER_SECONDS
from attune_tasks._celery.cancelling import CancelAnswer, cancel_execution
from attune_tasks.errors import ResultTimeoutError
from attune_tasks.ids import execution_id_of
from attune_tasks.log_fields import about
from attune_tasks.result import ExecutionResult, Status

if TYPE_CHECKING:
    from attune_tasks._celery.live_events import Event

__all__ = ["Handle"]

logger: Final = logging.getLogger("attune_tasks.claims")

_POLL_SECONDS: Final = 0.05
_LOOK_SECONDS: Final = 2.0
_TIME_LIMITS: Final = ("TimeLimitExceeded", "SoftTimeLimitExceeded")
_UNKNOWN_REF: Final = "unknown"


class Handle:
    """One execution, seen from the side that enqueued it. It reads what the result backend has."""

    __slots__ = ("_async_result", "action_ref", "execution_id", "task_id")

    def __init__(self, async_result: Any, action_ref: str | None = None) -> None:
        """Wrap Celery's AsyncResult; `action_ref` is None where it is not known."""
        self._async_result = async_result
        self.task_id: str = async_result.id
        self.execution_id: int = execution_id_of(self.task_id)
        self.action_ref = action_ref

    @classmethod
    def from_task_id(cls, task_id: str, app: Celery | None = None) -> Handle:
        """Take up an execution again by its task id, in this process or another.

        Raises ValueError for what is no text, or none that UTF-8 can hold.
        """
        if not isinstance(task_id, str) or not task_id or task_id != task_id.encode(errors="ignore").decode():
            msg = "a task id is text that is not empty and holds no lone surrogate"
            raise ValueError(msg)
        from attune_tasks._celery.enqueueing import app_or_default

        return cls(app_or_default(app).AsyncResult(task_id))

    def status(self) -> str:
        """Say how it stands: ``pending``, ``running``, or the final status of :class:`ExecutionResult`.

        ``pending`` is also what Celery knows of a task that never was.
        """
        state = self._async_result.state
        if state not in states.READY_STATES and self._judge():
            state = self._async_result.state
        if state in states.READY_STATES:
            return self._read().status
        return "pending" if state in {states.PENDING, states.RECEIVED, states.RETRY} else "running"

    def result(self, timeout: float | None = None) -> ExecutionResult:
        """Wait for the end, at most `timeout` seconds, and give the result, whatever the status is.

        Raises ResultTimeoutError; the execution goes on then.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            # Some backends tell an end once, to who is connected then: after their restart one would wait for ever.
            # And an execution whose workers are all lost has an end because somebody looks.
            left = max(0.0, deadline - time.monotonic())
            seconds = min(left, _LOOK_SECONDS)
            looked = time.monotonic()
            try:
                self._async_result.get(timeout=seconds, propagate=False, interval=_POLL_SECONDS)
            except CeleryTimeoutError as error:
                has_waited = time.monotonic() - looked > seconds / 2  # else nothing is to be waited for, as it says
                if seconds < left and has_waited:
                    self._judge()
                    continue  # the next call begins with a look at what is stored
                cause = str(error)
            else:
                return self._read()
            msg = f"{self.action_ref or 'the execution'} ({self.task_id}) has no result: {cause}"
            raise ResultTimeoutError(msg)

    def follow(self, *, wait: bool = True) -> Iterator[Event]:
        """Give what the action says, masked, as it says it: its output by lines, its progress, and last the end.

        Whoever comes late gets what is kept of the beginning first. Without `wait` it gives what is there by now, and
        the end where it has come. Without a Redis for shared state it gives the end alone. Each event has a `type`:
        ``output`` (`stream`, `text`, `dropped`), ``progress`` (`percent`, `message`), ``end`` (`status`). What shared
        state or the result backend raises for ten seconds on end is raised here; the execution goes on then.
        """
        from attune_tasks._celery.following import follow

        return follow(self._async_result, self.execution_id, self.status, wait=wait)

    def cancel(self, timeout: float = ANSWER_SECONDS) -> CancelAnswer:
        """Have it ended: SIGTERM to all its processes, the grace, SIGKILL. One that waits is not started.

        Waits at most `timeout` seconds for workers' answers, and not for the end, which :meth:`result` gives:
        status ``cancelled``.
        """
        return cancel_execution(self._async_result.app, self.execution_id, self.task_id, timeout)

    def __repr__(self) -> str:
        """Show the ids."""
        return f"Handle({self.action_ref}, execution_id={self.execution_id}, task_id={self.task_id!r})"

    def _judge(self) -> bool:
        """Look after the execution where its worker has not kept its claim; give whether it was so."""
        from attune_tasks._celery.claims.reaping import reap

        try:
            return bool(reap(self._async_result.app, self.execution_id))
        except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
            logger.debug(
                "the claim on execution %s can't be read: %s",
                self.execution_id,
                type(error).__name__,
                extra=about(self.execution_id, self.action_ref, self.task_id),
            )
            return False

    def _read(self) -> ExecutionResult:
        state, value = self._async_result.state, self._async_result.result
        stored = value
        if isinstance(value, BaseException):
            # By its shape, not by its class: a client that never imported ActionFailed gets a substitute.
            stored = value.args[0] if len(value.args) == 1 else None
        if isinstance(stored, Mapping):
            try:
                return ExecutionResult.from_dict(stored)
            except ValueError:
                pass  # not ours: another task's id was asked for
        if state == states.REVOKED:
            reason = str(value) or "revoked"
            return self._own("cancelled", reason, f"Celery ended the task before its action did: {reason}")
        kind = type(value).__name__
        if state == states.SUCCESS:
            return self._own("error", "unknown_result", f"the task's result is {kind}, not that of an execution")
        return self._own("timed_out" if kind in _TIME_LIMITS else "error", kind, str(value))

    def _own(self, status: Status, kind: str, message: str) -> ExecutionResult:
        """Make the result of an execution whose end only Celery saw."""
        done = getattr(self._async_result, "date_done", None)
        return ExecutionResult(
            execution_id=self.execution_id,
            action_ref=self.action_ref or _UNKNOWN_REF,
            status=status,
            error={"type": kind, "message": message},
            finished_at=datetime.fromisoformat(done) if isinstance(done, str) else done,
        )
