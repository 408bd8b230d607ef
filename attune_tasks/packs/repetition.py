"""``idempotent:``, ``retry:`` and ``concurrency:`` of an action, checked against the rest of it."""

from __future__ import annotations

from attune_tasks.attempts import RETRY_REASONS, Concurrency, RetryPolicy, RetryReason
from attune_tasks.packs.models import ConcurrencyEntry, RetryEntry
from attune_tasks.packs.parameters import ParameterSchema
from attune_tasks.packs.yaml_source import YamlDocument

__all__ = ["concurrency", "retry_policy"]

_ATTEMPTS_IF_IDEMPOTENT = 3


def retry_policy(entry: RetryEntry | None, document: YamlDocument, *, idempotent: bool) -> RetryPolicy:
    """Give when another attempt follows. Without ``retry:`` an idempotent action has three where workers are lost."""
    if entry is None:
        return RetryPolicy(_ATTEMPTS_IF_IDEMPOTENT, on=frozenset({"worker_lost"})) if idempotent else RetryPolicy()
    known: tuple[RetryReason, ...] = RETRY_REASONS
    reasons = frozenset(
        entry.on if entry.on is not None else (each for each in known if idempotent or each != "worker_lost")
    )
    if "worker_lost" in reasons and not idempotent:
        document.say(
            ("retry", "on"),
            "worker_lost needs `idempotent: true`: nobody knows what a lost worker's action has done",
        )
    return RetryPolicy(entry.max_attempts, entry.backoff, entry.jitter, reasons)


def concurrency(entry: ConcurrencyEntry | None, schema: ParameterSchema, document: YamlDocument) -> Concurrency | None:
    """Give how many may run at once."""
    if entry is None:
        return None
    known = schema.schema.get("properties", {})
    for number, name in enumerate(entry.by):
        if name not in known:
            document.say(("concurrency", "by", number), f"there is no parameter {name}")
    return Concurrency(entry.limit, tuple(entry.by), entry.on_conflict)
