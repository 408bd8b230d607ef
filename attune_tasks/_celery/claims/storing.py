"""The result backend as Celery's tracer sees it where an execution is claimed: what was decided stays decided.

By then the final state is written in the claim. The tracer takes an outage of the result backend, or of the broker that
is to have what follows, for a failure of the task, and stores that one: over a success, with the errbacks. Here the
state is insisted on, and what follows is left to a reaper, which sees that nobody has said it to be done.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from celery import Celery, states
from kombu.exceptions import EncodeError

from attune_tasks._celery.claims.claim import CLAIM_HEADER, Claim
from attune_tasks._celery.claims.outage import insist, is_outage
from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import ActionFailed, place_of
from attune_tasks.result import ExecutionResult

__all__ = ["StoringBackend"]

logger: Final = logging.getLogger("attune_tasks.claims")

_FAULT: Final = "an error in the worker, outside the action: its log says more"


class StoringBackend:
    """Celery's result backend, but for the ends of claimed executions. Cheap to make."""

    def __init__(self, app: Celery, backend: Any) -> None:
        """Store by `backend`."""
        self._app = app
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def mark_as_done(
        self,
        task_id: str,
        result: Any,
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's own
        **options: Any,
    ) -> None:
        """Store a success; what is linked was sent before."""
        try:
            self._backend.mark_as_done(task_id, result, request, store_result, **options)
        except EncodeError:
            raise
        except Exception as error:
            if not _is_claimed(request):
                raise
            is_stored = not store_result or self._insist(task_id, result, states.SUCCESS, request, error)
            if not is_stored or request.chord:
                _leave_to_reaper(request)

    def mark_as_failure(  # noqa: PLR0913, PLR0917 - Celery's own
        self,
        task_id: str,
        exc: Any,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,  # noqa: FBT001, FBT002 - Celery's own
        call_errbacks: bool = True,  # noqa: FBT001, FBT002 - Celery's own
        **options: Any,
    ) -> None:
        """Store a failure, and go on with what follows it."""
        given = (task_id, exc, traceback, request, store_result, call_errbacks)
        if not _is_claimed(request):
            self._backend.mark_as_failure(*given, **options)
            return
        if not isinstance(exc, ActionFailed | EncodeError) and not self._is_first(task_id, exc, request):
            _leave_to_reaper(request)
            return
        try:
            self._backend.mark_as_failure(*given, **options)
        except Exception as error:  # noqa: BLE001 - the backend's or the broker's own
            if store_result:
                self._insist(task_id, exc, states.FAILURE, request, error)
            _leave_to_reaper(request)

    def _is_first(self, task_id: str, exc: BaseException, request: Any) -> bool:
        """Have what the action did not say for its end, where there is none; give whether it is so.

        An outage is none: who looks after the claim says what follows.
        """
        told = getattr(request, CLAIM_HEADER)
        kind = type(exc).__name__
        claim = Claim(self._app, task_id, str(told["token"]), int(told["attempt"]), int(told["attempts"]))
        logger.error("execution %s: %s at %s", claim.execution_id, kind, place_of(exc))
        if is_outage(exc):
            return False
        ref = str(request.args[0]) if isinstance(request.args, list | tuple) and request.args else "?"
        data = ExecutionResult.without_child(claim.execution_id, ref, kind, _FAULT, attempt=claim.attempt).to_dict()
        try:
            return claim.finish(states.FAILURE, data) == "first"
        except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
            logger.error("execution %s has no end yet: %s", claim.execution_id, type(error).__name__)  # noqa: TRY400
            return False

    def _insist(self, task_id: str, value: Any, state: str, request: Any, first: Exception) -> bool:
        """Store a state as soon as that is possible, but for longer than a reaper waits; give whether it is stored."""
        settings = state_of(self._app).loaded.settings.claims
        logger.warning("execution of task %s: its end could not be stored at once: %s", task_id, type(first).__name__)
        try:
            insist(
                lambda: self._backend.store_result(task_id, value, state, request=request),
                min(settings.outage, settings.expiry),
                f"task {task_id}",
            )
        except Exception as error:  # noqa: BLE001 - the backend's own, whose text may quote the URL
            logger.warning("task %s: its end is left to a reaper: %s", task_id, type(error).__name__)
            return False
        return True


def _is_claimed(request: Any) -> bool:
    return isinstance(getattr(request, CLAIM_HEADER, None), Mapping) and not request.is_eager


def _leave_to_reaper(request: Any) -> None:
    """Have nobody say that all is done: see :func:`attune_tasks._celery.claims.worker.note_delivered`."""
    setattr(request, CLAIM_HEADER, None)
