"""What is told of a read of a secret, and never anything that follows from its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from attune_tasks.secret_values import HiddenMapping

__all__ = ["Observer", "Outcome", "ReadRecord", "SecretFields", "now"]

Outcome = Literal["read", "failed", "no_such_field", "unusable", "not_in_time"]


class SecretFields(HiddenMapping[object]):
    """The fields that a provider has read, and what is known of that read beside them."""

    __slots__ = ("cached", "request_id", "version")

    def __init__(
        self,
        fields: Mapping[str, object],
        *,
        version: int | str | None = None,
        request_id: str | None = None,
        cached: bool = False,
    ) -> None:
        """Copy `fields`. `version` is the store's own; `request_id` finds the read in the store's log."""
        super().__init__(fields)
        self.version = version
        self.request_id = request_id
        self.cached = cached
        """Whether the store was not asked: the fields are those of an earlier read, whose request `request_id` is."""

    def from_cache(self) -> SecretFields:
        """Give the same fields, as one who does not ask the store again has them."""
        return SecretFields(self, version=self.version, request_id=self.request_id, cached=True)


class ReadRecord(NamedTuple):
    """One secret that was asked for: how that ended, and where its store's log has it."""

    name: str
    reference: str
    provider: str
    outcome: Outcome
    time: datetime
    """In UTC: when the provider had answered, or was given up."""
    version: int | str | None = None
    request_id: str | None = None
    cached: bool = False


Observer = Callable[[tuple[ReadRecord, ...]], None]
"""Gets the records of one fetch, whether it succeeds or not: one for each secret that was asked for."""


def now() -> datetime:
    """Give the time, in UTC."""
    return datetime.now(UTC)
