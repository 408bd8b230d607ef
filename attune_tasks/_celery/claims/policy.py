"""What an action's metadata says of its claims: how many attempts there are, and whether it needs a ticket."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, NamedTuple

from celery import Celery

from attune_tasks._celery.calls import read_call
from attune_tasks._celery.claims.store import Ticket
from attune_tasks._celery.per_app import AppState, state_of
from attune_tasks.attempts import RetryPolicy, reason_of
from attune_tasks.errors import AttuneTasksError
from attune_tasks.result import ExecutionResult

__all__ = ["ClaimPolicy", "delay_before_next", "policy_of"]

_OUTAGE: Final = RetryPolicy(max_attempts=10, backoff=2.0, on=frozenset({"secrets"}))
"""For ``secrets.on_outage = retry``: about a quarter of an hour in all."""


class ClaimPolicy(NamedTuple):
    """What a claim needs to know."""

    attempts_if_lost: int
    ticket: Ticket | None


def policy_of(app: Celery, args: Any, kwargs: Any) -> ClaimPolicy:
    """Give it for the arguments of a message; what no action could take is refused when it runs, and needs nothing."""
    state = state_of(app)
    try:
        call = read_call(args, kwargs)
        if call.ref not in state.registry:
            return ClaimPolicy(1, None)
        action = state.registry.get(call.ref)
        if action.concurrency is None:
            return ClaimPolicy(action.retry.attempts_if_lost, None)
        values = action.schema.validate(call.parameters or {}).public
    except (AttuneTasksError, TypeError):
        return ClaimPolicy(1, None)
    wanted = action.concurrency
    text = json.dumps([values.get(name) for name in wanted.by], sort_keys=True)
    # A digest, for a parameter may be long, or nothing that should stand in a key.
    name = f"{action.ref}:{hashlib.sha256(text.encode()).hexdigest()[:16]}" if wanted.by else action.ref
    return ClaimPolicy(action.retry.attempts_if_lost, Ticket(name, wanted.limit, wanted.on_conflict))


def delay_before_next(state: AppState, result: ExecutionResult) -> float | None:
    """Give the seconds until the attempt that is to follow this result; None: it is final."""
    if result.action_ref not in state.registry:
        return None
    delay = state.registry.get(result.action_ref).retry.delay(result)
    retries_outage = state.loaded.settings.secrets.on_outage == "retry" and reason_of(result) == "secrets"
    return _OUTAGE.delay(result) if delay is None and retries_outage else delay
