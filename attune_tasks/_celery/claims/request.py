"""The worker's view of one message, as far as its claim is concerned: claimed before it is handed to the pool."""

from __future__ import annotations

import json
import logging
import os
import secrets
from typing import Any, Final

from celery import states
from celery.worker import state as worker_state

from attune_tasks._celery.claims.claim import CLAIM_HEADER, Claim
from attune_tasks._celery.claims.keeping import KEEPER
from attune_tasks._celery.claims.message import StoredMessage
from attune_tasks._celery.claims.outage import is_outage
from attune_tasks._celery.claims.policy import policy_of
from attune_tasks._celery.claims.reaping import publish_again, reap
from attune_tasks._celery.claims.store import Due, claim_store
from attune_tasks._celery.ending_request import EndingRequest

__all__ = ["ClaimedRequest"]

logger: Final = logging.getLogger("attune_tasks.claims")

_TRY_AGAIN_SECONDS: Final = 1.0
_CONFLICT: Final = "as many executions of the action run as its `concurrency` allows"


class ClaimedRequest(EndingRequest):
    """A request of run_action that runs only where this worker was the one to claim it."""

    _claim: Claim | None = None
    _consumer: Any = None
    """Celery's, which knows the timer; set when the message is received."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take a message. What it says of a claim is not so."""
        super().__init__(*arguments, **options)
        self.request_dict[CLAIM_HEADER] = None

    def received_by(self, consumer: Any) -> None:
        """Note who has received the message."""
        self._consumer = consumer

    def revoked(self) -> bool:
        """Say whether it is not to be handed to the pool. Celery asks at once before it does, and asks nothing else."""
        if super().revoked():
            return True
        if self not in worker_state.reserved_requests:
            return False  # it was just received
        return not self._claimed()

    def on_accepted(self, pid: Any, time_accepted: float) -> None:
        """Acknowledge the message: by now it is claimed, and the process that runs it keeps the claim."""
        if self._claim is not None:
            KEEPER.drop(self._claim.token)
        super().on_accepted(pid, time_accepted)

    def _claimed(self) -> bool:
        store = claim_store(self.task.app)
        if store is None:
            return True
        attempt = int(self.request_dict.get("retries") or 0) + 1
        token = secrets.token_hex(16)
        try:
            policy = policy_of(self.task.app, self.args, self.kwargs)
            stored = StoredMessage.of(self)
            answer = store.claim(
                self.execution_id,
                token,
                attempt,
                worker=f"{self.hostname}:{os.getpid()}",
                is_free_here=not self._is_held_here(),
                record={
                    "task_id": self.id,
                    "ref": self._ref(),
                    "attempts": policy.attempts_if_lost,
                    "message": stored.to_json() if stored else "",
                },
                ticket=policy.ticket,
            )
            if answer == "expired":
                reap(self.task.app, self.execution_id)
        except Exception as error:
            if not is_outage(error):
                raise
            self._try_again_later(error)
            return False
        if answer == "claimed":
            self._claim = Claim(self.task.app, self.id, token, attempt)
            self.request_dict[CLAIM_HEADER] = {"token": token, "attempt": attempt}
            KEEPER.keep(self._claim)
            return True
        if answer == "conflict":
            self.end("error", "concurrency_limit", _CONFLICT)
            return False
        logger.info("execution %s: nothing to do for this message: %s", self.execution_id, answer)
        worker_state.task_ready(self)
        self.acknowledge()
        return False

    def _is_held_here(self) -> bool:
        return any(
            request is not self and isinstance(request, ClaimedRequest) and request.id == self.id
            for request in (*worker_state.reserved_requests, *worker_state.active_requests)
        )

    def _try_again_later(self, error: Exception) -> None:
        """Keep the message, and ask for the claim again: without one nothing is run."""
        logger.warning("execution %s waits to be claimed: %s", self.execution_id, type(error).__name__)
        if self._consumer is None:
            return
        self._consumer.timer.call_after(_TRY_AGAIN_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        if self in worker_state.reserved_requests:  # else its connection was lost, and the message comes again
            self._consumer.on_task_request(self)

    def record(self, state: str, result: Any) -> bool:
        """Write the final state, once."""
        try:
            if (store := claim_store(self.task.app)) is None:
                return True
            status = result["error"]["type"] if isinstance(result, dict) and result["status"] == "error" else state
            token = self._claim.token if self._claim is not None else ""
            outcome = json.dumps({"state": state, "result": result})
            verdict, parked = store.finish(self.execution_id, token, status, outcome)
        except Exception as error:  # noqa: BLE001 - the client's own; what the backend takes is better than nothing
            logger.warning("the end of execution %s can't be noted: %s", self.execution_id, type(error).__name__)
            return True
        self._publish(parked)
        return verdict != "no"

    def delivered(self) -> None:
        """Have it told that nothing is left to do."""
        if claim_store(self.task.app) is not None:
            KEEPER.deliver(self.task.app, self.execution_id)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:  # noqa: FBT001 - Celery's own
        if self.record(states.REVOKED, reason):
            super()._announce_revoked(reason, terminated, signum, expired)  # type: ignore[misc]  # not in its stubs
            self.delivered()
            return
        worker_state.task_ready(self)
        self.acknowledge()
        self._already_revoked = True

    def _end_lost(self) -> None:
        """Have another attempt follow where the action says so; else it is the end."""
        claim = self._claim
        if claim is None or self._shut_down or not self._has_another(claim):
            super()._end_lost()

    def _has_another(self, claim: Claim) -> bool:
        if claim.attempt >= policy_of(self.task.app, self.args, self.kwargs).attempts_if_lost:
            return False
        try:
            if not claim.again_at_once():
                return False
        except Exception as error:  # noqa: BLE001 - the client's own; a reaper finds it once its claim has expired
            logger.warning("execution %s waits for its next attempt: %s", self.execution_id, type(error).__name__)
        worker_state.task_ready(self)
        self.acknowledge()
        return True

    def _publish(self, due: Due | None) -> None:
        if due is not None:
            publish_again(self.task.app, due)
