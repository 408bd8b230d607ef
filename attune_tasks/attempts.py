"""When another attempt of an execution follows, and how many executions may run at once: what metadata says of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal, get_args

from attune_tasks.result import ExecutionResult

__all__ = ["RETRY_REASONS", "Concurrency", "OnConflict", "RetryPolicy", "RetryReason", "attempt_after", "reason_of"]

RetryReason = Literal["failed", "timed_out", "secrets", "worker_lost"]
OnConflict = Literal["queue", "fail"]

RETRY_REASONS: Final[tuple[RetryReason, ...]] = get_args(RetryReason)
_LOST: Final = frozenset({"worker_lost", "launcher_lost", "claim_lost"})
_LONGEST_BACKOFF: Final = 3600.0
_MANY: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which ends of an attempt are followed by another one."""

    max_attempts: int = 1
    """In all, the first one among them."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubled before each further one, up to an hour."""
    jitter: float = 0.1
    """The part of the pause, 0 to 1, by which it is shorter or longer at random."""
    on: frozenset[RetryReason] = frozenset()

    def delay(self, result: ExecutionResult) -> float | None:
        """Give the seconds until the attempt that is to follow this `result`; None: it is the last one."""
        if reason_of(result) not in self.on or result.attempt >= self.max_attempts:
            return None
        pause = min(_LONGEST_BACKOFF, self.backoff * 2.0 ** min(result.attempt - 1, 30))
        return pause * (1 + self.jitter * (2 * random.random() - 1))  # noqa: S311 - spreads, and hides nothing

    @property
    def attempts_if_lost(self) -> int:
        """How many attempts there are where workers are lost."""
        return self.max_attempts if "worker_lost" in self.on else 1


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many executions of an action may run at once, on all workers."""

    limit: int
    by: tuple[str, ...] = ()
    """Parameters: executions count together whose values of these are equal."""
    on_conflict: OnConflict = "queue"


def attempt_after(retries: object) -> int:
    """Give the number of the attempt which follows so many retries; what a stranger's message says may be anything."""
    return retries + 1 if isinstance(retries, int) and 0 <= retries < _MANY else 1


def reason_of(result: ExecutionResult) -> RetryReason | None:
    """Say in the words of ``retry: on:`` how an attempt ended; None where none could follow."""
    if result.status == "failed":
        return "failed"
    if result.status == "timed_out":
        return "timed_out"
    kind = (result.error or {}).get("type")
    if result.status == "error" and kind in _LOST:
        return "worker_lost"
    return "secrets" if result.status == "error" and kind == "secrets_unavailable" else None
