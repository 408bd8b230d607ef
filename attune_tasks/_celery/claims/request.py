"""The worker's view of one message, as far as its claim is concerned: claimed before it is handed to the pool."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from celery import states
from celery.exceptions import InvalidTaskError
from celery.worker import state as worker_state

from attune_tasks._celery.claims.claim import CLAIM_HEADER, Claim
from attune_tasks._celery.claims.following import name_what_follows
from attune_tasks._celery.claims.keeping import KEEPER
from attune_tasks._celery.claims.message import StoredMessage
from attune_tasks._celery.claims.outage import is_outage
from attune_tasks._celery.claims.policy import ClaimPolicy, policy_of
from attune_tasks._celery.claims.reaping import publish_again, reap
from attune_tasks._celery.claims.store import Due, End, claim_store
from attune_tasks._celery.claims.waiting import WAITING
from attune_tasks._celery.ending_request import EndingRequest
from attune_tasks._celery.metrics.figures import FIGURES
from attune_tasks.attempts import attempt_after
from attune_tasks.result import ExecutionResult

__all__ = ["ClaimedRequest"]

logger: Final = logging.getLogger("attune_tasks.claims")

_PARTS: Final = 3
_EMBEDDED: Final = frozenset({"callbacks", "errbacks", "chain", "chord"})
_TRY_AGAIN_SECONDS: Final = 1.0
_CONFLICT: Final = "as many executions of the action run as its `concurrency` allows"


class ClaimedRequest(EndingRequest):
    """A request of run_action that runs only where this worker was the one to claim it."""

    _claim: Claim | None = None
    _consumer: Any = None
    """Celery's, which knows the timer; set when the message is received."""
    _revoked_as: dict[str, Any] | None = None
    """The end by a revoke: the same one each time, for by that its record knows it again."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take a message. What it says of a claim is not so."""
        super().__init__(*arguments, **options)
        self._check_body()
        self.request_dict[CLAIM_HEADER] = None

    def _check_body(self) -> None:
        """Refuse what Celery puts into no message: in a pool process the body's last part has the last word.

        No signature covers it, and it could name another task, or say of a claim what it likes.
        """
        payload: Any = getattr(self, "_Request__payload", None)
        embedded = payload[2] if isinstance(payload, list | tuple) and len(payload) == _PARTS else None
        if embedded and (not isinstance(embedded, dict) or not embedded.keys() <= _EMBEDDED):
            msg = "its body says more than a message of Celery's: somebody has altered it"
            raise InvalidTaskError(msg)

    def received_by(self, consumer: Any) -> None:
        """Claim it as soon as it is received: from now on nobody waits for the broker where this worker is lost."""
        self._consumer = consumer
        self._is_claimed()

    def revoked(self) -> bool:
        """Say whether it is not to be handed to the pool. Celery asks at once before it does, and asks nothing else."""
        if super().revoked():
            return True
        if self not in worker_state.reserved_requests:
            return False  # it was just received
        return not (self._is_claimed() and self._has_ticket())

    def on_accepted(self, pid: Any, time_accepted: float) -> None:
        """Acknowledge the message: by now it is claimed, and the process that runs it keeps the claim."""
        if self._claim is not None:
            self._let_go(self._claim.token)
        super().on_accepted(pid, time_accepted)

    @property
    def is_handed_over(self) -> bool:
        """Whether the pool has it, and runs it even while the worker ends."""
        return self._apply_result is not None

    def give_back(self, *, publish: bool) -> None:
        """Give up the claim; with `publish`, send the message once more, for it is with nobody any more.

        Should it be handed over all the same, it is claimed anew; what a pool has already is not begun, for its claim
        is none by then. Raises what the client raises.
        """
        claim, self._claim = self._claim, None
        if claim is not None:
            self._let_go(claim.token)
            claim.withdraw(publish=publish)

    def lost_by_pool(self) -> None:
        """Give up the claim, send the message once more, and be done with this one. Raises what the client raises."""
        self._drop("the pool has lost it, and it is sent again")
        self.give_back(publish=True)

    def _let_go(self, token: str) -> None:
        KEEPER.drop(token)
        WAITING.remove(token)

    def _is_claimed(self) -> bool:
        """Claim it, if it is not claimed yet; give whether that is so."""
        if self._claim is not None or (store := claim_store(self.task.app)) is None:
            return True
        attempt = attempt_after(self.request_dict.get("retries"))
        token = secrets.token_hex(16)
        try:
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
                    "attempts": self._policy.attempts_if_lost,
                    "message": stored.to_json() if stored else "",
                },
            )
            if answer == "expired":
                reap(self.task.app, self.execution_id)
        except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
            self._try_again_later(error)
            return False
        if answer != "claimed":
            self._drop(f"its claim is {answer}")
            return False
        self._claim = Claim(self.task.app, self.id, token, attempt, self._policy.attempts_if_lost)
        self.request_dict[CLAIM_HEADER] = self._claim.told
        KEEPER.keep(self._claim)
        WAITING.add(token, self)
        return True

    def _has_ticket(self) -> bool:
        """Take the ticket that its action needs; give whether it has one, or needs none."""
        claim, ticket = self._claim, self._policy.ticket
        if ticket is None or claim is None or (store := claim_store(self.task.app)) is None:
            return True
        try:
            taken = store.take_ticket(claim.execution_id, claim.token, ticket, self._expires_in())
        except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
            self._try_again_later(error)
            return False
        if taken == "conflict":
            self.end("error", "concurrency_limit", _CONFLICT)
        elif taken != "taken":
            self._let_go(claim.token)
            self._drop(f"it is {taken}")
        return taken == "taken"

    def _expires_in(self) -> float | None:
        expires: datetime | None = self.expires
        return None if expires is None else (expires - datetime.now(expires.tzinfo)).total_seconds()

    def _drop(self, why: str) -> None:
        """Do nothing more for this message: another one, or somebody else, has the execution."""
        logger.info("execution %s: nothing to do for this message: %s", self.execution_id, why, extra=self.log_fields)
        self._ended = True
        worker_state.task_ready(self)
        self.acknowledge()

    @cached_property
    def _policy(self) -> ClaimPolicy:
        return policy_of(self.task.app, self.args, self.kwargs)

    def _is_held_here(self) -> bool:
        other = worker_state.requests.get(self.id)
        return other is not None and other is not self

    def _try_again_later(self, error: Exception) -> None:
        """Keep the message, and ask for the claim again: without one nothing is run. What will not pass ends it."""
        if not is_outage(error):
            self.end("error", "claim_failed", f"it could not be claimed in the shared state: {type(error).__name__}")
            return
        logger.warning(
            "execution %s waits to be claimed: %s", self.execution_id, type(error).__name__, extra=self.log_fields
        )
        if self not in worker_state.reserved_requests:
            return  # it was just received, and asks again before it is handed over
        self._consumer.timer.call_after(_TRY_AGAIN_SECONDS, self._hand_over)

    def _is_put_off(self, error: Exception, step: Callable[..., None], *arguments: Any) -> bool:
        """Have a step of its end done again soon; give whether that is of use.

        A worker that ends meanwhile leaves it to the claim's expiry.
        """
        if not is_outage(error) or self._consumer is None:
            return False
        logger.warning("the end of execution %s waits to be stored: %s", self.execution_id, type(error).__name__)
        self._consumer.timer.call_after(_TRY_AGAIN_SECONDS, step, arguments)
        return True

    def _hand_over(self) -> None:
        if self in worker_state.reserved_requests:  # else its connection was lost, and the message comes again
            self._consumer.on_task_request(self)

    def record(self, state: str, result: Any) -> bool:
        """Write the final state, once. Raises what the client raises in an outage: until then the claim is kept."""
        name_what_follows(self.id, self._context)
        try:
            if (store := claim_store(self.task.app)) is None:
                return True
            token = self._claim.token if self._claim is not None else ""
            verdict, parked = store.finish(End.of(self.id, state, result), token)
        except Exception as error:
            if is_outage(error):
                raise
            # What the backend takes is better than nothing.
            logger.warning(
                "the end of execution %s can't be noted: %s",
                self.execution_id,
                type(error).__name__,
                extra=self.log_fields,
            )
            return True
        if self._claim is not None:
            self._let_go(self._claim.token)
        self._publish(parked)
        return verdict != "no"

    def store_end(self, result: ExecutionResult) -> None:
        """Store it; in an outage, later."""
        try:
            super().store_end(result)
        except Exception as error:
            if not self._is_put_off(error, self.store_end, result):
                raise

    def delivered(self) -> None:
        """Have it told that nothing is left to do."""
        if claim_store(self.task.app) is not None:
            KEEPER.deliver(self.task.app, self.execution_id)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:  # noqa: FBT001 - Celery's own
        self._revoked_as = self._revoked_as or self.result_of("cancelled", reason, reason).to_dict()
        try:
            if self.record(states.REVOKED, self._revoked_as):
                super()._announce_revoked(reason, terminated, signum, expired)  # type: ignore[misc]  # not in its stubs
                FIGURES.end(self._ref(), "cancelled")
                self.delivered()
                return
        except Exception as error:
            if not self._is_put_off(error, self._announce_revoked, reason, terminated, signum, expired):
                raise
            self._already_revoked = True  # or it would be run
            return
        worker_state.task_ready(self)
        self.acknowledge()
        self._already_revoked = True

    def is_loss(self, error: BaseException, *, return_ok: bool) -> bool:
        """Count what a pool process could not tell as an end, too: its claim has none, or a reaper stores it."""
        if super().is_loss(error, return_ok=return_ok):
            return True
        return self._claim is not None and not return_ok and is_outage(error)

    def _end_lost(self) -> None:
        """Have another attempt follow where the action says so; else it is the end."""
        claim = self._claim
        if claim is None or self._shut_down or not self._has_another(claim):
            super()._end_lost()

    def _has_another(self, claim: Claim) -> bool:
        if claim.is_last:
            return False
        try:
            if not claim.again_at_once():
                return False
        except Exception as error:  # noqa: BLE001 - the client's own; a reaper finds it once its claim has expired
            logger.warning(
                "execution %s waits for its next attempt: %s",
                self.execution_id,
                type(error).__name__,
                extra=self.log_fields,
            )
        worker_state.task_ready(self)
        self.acknowledge()
        return True

    def _publish(self, due: Due | None) -> None:
        if due is not None:
            publish_again(self.task.app, due)
