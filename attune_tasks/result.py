"""What comes back from one execution."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, get_args

__all__ = ["NOT_STARTED", "ExecutionResult", "Receipt", "Status"]

Status = Literal["succeeded", "failed", "timed_out", "cancelled", "error"]

NOT_STARTED: Final = "the execution was cancelled before its action was started"
_STATUSES: Final = frozenset(get_args(Status))
_TIMES: Final = ("started_at", "finished_at")


class Receipt(NamedTuple):
    """Where a secret that an execution was given came from."""

    name: str
    reference: str
    version: int | str | None = None
    """The store's own; None where it has none, or did not say."""


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """How an execution ended, and what it said. Masked where it comes from the executor.

    In JSON, `execution_id` is a decimal string (JavaScript's numbers are exact to 2**53 only) and the times are
    ISO 8601 in UTC.
    """

    execution_id: int
    action_ref: str
    status: Status
    exit_code: int | None = None
    """The child's exit code; None where a signal ended it or none was started."""
    signal: str | None = None
    """The name of the signal that ended the child, as ``SIGKILL``."""
    error: Mapping[str, str] | None = None
    """``{"type": …, "message": …}``; None for succeeded."""
    attempt: int = 1
    """Which attempt of the execution this is the result of; the first one is 1."""
    duration_ms: int = 0
    started_at: datetime | None = None
    """When the child started; None where none was started."""
    finished_at: datetime | None = None
    secrets_missing: tuple[str, ...] = ()
    """Names of secrets that the execution ran without."""
    receipts: tuple[Receipt, ...] = ()
    """Of each secret that it was given, in JSON as ``{"name": …, "reference": …, "version": …}``."""
    masked: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """How many masks stand where: by name of the secret, then by ``stdout``, ``stderr``, ``result`` and ``error``.
    Values that the action has named by ``mask`` are together under ``(mask)``."""
    not_masked: tuple[str, ...] = ()
    """Names of secrets whose values are too short or too common to be masked, and so may stand anywhere."""
    left_behind: tuple[tuple[int, int], ...] = ()
    """Pid and uid of each process of the action which could not be killed, being another user's (``sudo``)."""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    result: Any = None
    """What `run` returned, or the action set: any JSON value."""
    stdout: str = ""
    stderr: str = ""

    @classmethod
    def without_child(  # noqa: PLR0913, PLR0917 - what such a result has
        cls,
        execution_id: int,
        action_ref: str,
        kind: str,
        message: str,
        status: Status = "error",
        attempt: int = 1,
    ) -> ExecutionResult:
        """Make the result of an execution that no child of it tells: it was refused, cancelled before, or lost."""
        return cls(
            execution_id=execution_id,
            action_ref=action_ref,
            status=status,
            error={"type": kind, "message": message},
            attempt=attempt,
            finished_at=datetime.now(UTC),
        )

    @property
    def succeeded(self) -> bool:
        """Whether the status is ``succeeded``."""
        return self.status == "succeeded"

    def to_dict(self) -> dict[str, Any]:
        """Give a dictionary that JSON can hold. Small fields stand first, the output last."""
        data = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        data["execution_id"] = str(self.execution_id)
        data["error"] = dict(self.error) if self.error is not None else None
        data["secrets_missing"] = list(self.secrets_missing)
        data["receipts"] = [receipt._asdict() for receipt in self.receipts]
        data["masked"] = {name: dict(counts) for name, counts in self.masked.items()}
        data["not_masked"] = list(self.not_masked)
        data["left_behind"] = [list(pair) for pair in self.left_behind]
        for name in _TIMES:
            data[name] = data[name].isoformat() if data[name] is not None else None
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExecutionResult:
        """Read what :meth:`to_dict` gave; fields of later versions are ignored.

        Raises ValueError where `data` is not a result.
        """
        known = {entry.name for entry in fields(cls)}
        values = {name: value for name, value in data.items() if name in known}
        if values.get("status") not in _STATUSES or "execution_id" not in values or "action_ref" not in values:
            msg = "not an execution's result: execution_id, action_ref and a known status are required"
            raise ValueError(msg)
        values["execution_id"] = int(values["execution_id"])
        values["secrets_missing"] = tuple(values.get("secrets_missing") or ())
        values["receipts"] = tuple(
            Receipt(str(each["name"]), str(each["reference"]), each.get("version"))
            for each in values.get("receipts") or ()
        )
        values["masked"] = values.get("masked") or {}
        values["not_masked"] = tuple(values.get("not_masked") or ())
        values["left_behind"] = tuple((int(pid), int(uid)) for pid, uid in values.get("left_behind") or ())
        for name in _TIMES:
            if values.get(name) is not None:
                values[name] = datetime.fromisoformat(values[name])
        return cls(**values)

    def to_json(self) -> str:
        """Give the JSON text of :meth:`to_dict`."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ExecutionResult:
        """Read what :meth:`to_json` gave."""
        return cls.from_dict(json.loads(text))
