"""The claim on the execution that runs now: begun, kept, and finished by the process that runs it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from celery import Celery, Task, states
from celery.exceptions import Ignore

from attune_tasks._celery.claims.outage import insist, is_outage
from attune_tasks._celery.claims.store import ClaimStore, Due, End, StoredState, claim_store
from attune_tasks._celery.per_app import state_of
from attune_tasks.ids import execution_id_of
from attune_tasks.log_fields import about

__all__ = ["CLAIM_HEADER", "Claim"]

logger: Final = logging.getLogger("attune_tasks.claims")

CLAIM_HEADER: Final = "attune_claim"
"""Where a worker's main process tells the process that runs the action of its claim; what a message says is dropped."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt of one execution, which this process may run."""

    app: Celery
    task_id: str
    token: str
    attempt: int
    attempts: int
    """How many there are where workers are lost."""

    @classmethod
    def of(cls, task: Task[Any, Any]) -> Self | None:
        """Give the claim of the task that runs now; None where there is no shared state, or no worker."""
        told = getattr(task.request, CLAIM_HEADER, None)
        headers: Any = task.request.headers
        if isinstance(headers, dict):
            headers.pop(CLAIM_HEADER, None)  # or a retry's message would have it
        if task.request.is_eager or not isinstance(told, Mapping):
            return None
        return cls(task.app, str(told["task_id"]), str(told["token"]), int(told["attempt"]), int(told["attempts"]))

    @property
    def execution_id(self) -> int:
        """The execution."""
        return execution_id_of(self.task_id)

    @property
    def is_last(self) -> bool:
        """Whether no attempt follows this one where its worker is lost: then nobody else begins the action."""
        return self.attempt >= self.attempts

    @property
    def told(self) -> dict[str, str | int]:
        """Give what :meth:`of` reads in the process that runs the action."""
        return {"task_id": self.task_id, "token": self.token, "attempt": self.attempt, "attempts": self.attempts}

    def begin(self, request: Any) -> bool:
        """Say that the action is about to run, in Celery's STARTED, too; give whether it may."""
        meta = {"pid": os.getpid(), "hostname": request.hostname or socket.gethostname()}
        together = _stored_together(self.app, self.task_id, states.STARTED, meta, request)
        begun: bool = self._insist(lambda store: store.begin(self.execution_id, self.token, together))
        if begun and together is None and not request.ignore_result:
            try:
                self.app.backend.store_result(self.task_id, meta, states.STARTED, request=request)
            except Exception as error:  # noqa: BLE001 - the backend's own; only who looks meanwhile misses it
                logger.warning(
                    "STARTED of execution %s is not stored: %s",
                    self.execution_id,
                    type(error).__name__,
                    extra=self._log_fields,
                )
        return begun

    def finish(self, state: str, data: Mapping[str, Any]) -> str:
        """Write the final state: ``first``, ``replaced`` where it takes the place of worker_lost, or ``no``."""
        end = End.of(self.task_id, state, data)
        verdict, parked = self._insist(lambda store: store.finish(end, self.token))
        self._publish(parked)
        return str(verdict)

    def store_late(self, value: Any, state: str, request: Any) -> None:
        """Store the final state that has taken the place of worker_lost; nothing follows."""
        self._insist(lambda _: self.app.backend.store_result(self.task_id, value, state, request=request))

    def again(self, failure: Exception, request: Any) -> bool:
        """End this attempt, which another one is to follow, in Celery's RETRY, too; give whether it was ours to say."""
        together = _stored_together(self.app, self.task_id, states.RETRY, failure, request)
        message, parked = self._insist(
            lambda store: store.again(self.execution_id, self.token, self.attempt + 1, together)
        )
        self._publish(parked)
        if message is not None and together is None and not request.ignore_result:
            try:
                self.app.backend.mark_as_retry(self.task_id, failure, request=request)
            except Exception as error:  # noqa: BLE001 - as above
                logger.warning(
                    "RETRY of execution %s is not stored: %s",
                    self.execution_id,
                    type(error).__name__,
                    extra=self._log_fields,
                )
        return message is not None

    def again_at_once(self) -> bool:
        """End the attempt of a lost process, and send the message again; give whether it was still ours to say."""
        store = self._store()
        message, parked = store.again(self.execution_id, self.token, self.attempt + 1)
        self._publish(parked)
        if message:
            self._publish(Due("again", self.execution_id, self.attempt + 1, message))
        return message is not None

    def withdraw(self, *, publish: bool) -> None:
        """Give it up before its action began; `publish`: the message is with nobody any more, and sent once more."""
        message, parked = self._store().withdraw(self.execution_id, self.token)
        self._publish(parked)
        if message and publish:
            self._publish(Due("again", self.execution_id, self.attempt, message))

    def published(self, delay: float) -> None:
        """Note that the message of the attempt that follows in `delay` seconds is with the broker."""
        self._insist(lambda store: store.published(self.execution_id, self.attempt + 1, delay))

    def _insist(self, what: Any) -> Any:
        seconds = state_of(self.app).loaded.settings.claims.outage
        try:
            return insist(lambda: what(self._store()), seconds, f"execution {self.execution_id}")
        except Exception as error:
            if not is_outage(error):
                raise
            cause = type(error).__name__  # its text may quote the URL
        logger.error("execution %s is left to its claim's expiry: %s", self.execution_id, cause, extra=self._log_fields)
        raise Ignore

    @property
    def _log_fields(self) -> dict[str, str]:
        return about(self.execution_id, task_id=self.task_id)

    def _store(self) -> ClaimStore:
        store = claim_store(self.app)
        if store is None:  # it was there when the claim was made
            msg = "the shared state is gone from the settings"
            raise RuntimeError(msg)
        return store

    def _publish(self, due: Due | None) -> None:
        if due is not None:
            from attune_tasks._celery.claims.reaping import publish_again

            publish_again(self.app, due)


def _stored_together(app: Celery, task_id: str, state: str, value: Any, request: Any) -> StoredState | None:
    """Give a state as the result backend stores it, where that is the Redis of the shared state: one step for both.

    Two round trips of Celery's, the second to look for a SUCCESS that would be overwritten, are none then. None: the
    backend is another one, or nothing is to be stored.
    """
    backend: Any = app.backend
    settings = state_of(app).loaded.settings
    kind = type(backend).__name__
    if request.ignore_result or settings.state_url is not None or kind not in {"RedisBackend", "SentinelBackend"}:
        return None
    encoded = backend.encode_result(value, state)
    stored = backend._get_result_meta(result=encoded, state=state, traceback=None, request=request)  # noqa: SLF001
    stored["task_id"] = task_id
    return StoredState(backend.get_key_for_task(task_id), backend.encode(stored), int(backend.expires or 0))
