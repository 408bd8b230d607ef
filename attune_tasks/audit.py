"""The audit trail: which execution of whose asked for which secret, and how that ended. Never a value.

Each record is one line of JSON on the logger ``attune_tasks.audit``. Nothing that follows from a value is in it, not
its length and not a hash of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from attune_tasks.context import ExecutionRequest
    from attune_tasks.secrets import ReadRecord

__all__ = ["LOGGER", "watch_reads", "write_audit"]

LOGGER: Final = logging.getLogger("attune_tasks.audit")
# Of its own, so that a worker which logs warnings only still has the records.
LOGGER.setLevel(logging.INFO)

_watches: Final[list[Callable[[str, Sequence[ReadRecord]], None]]] = []
_LONGEST: Final = 200
"""Characters of what a stranger may have sent: a record is one line of a log."""


def watch_reads(watch: Callable[[str, Sequence[ReadRecord]], None]) -> None:
    """Have `watch` called with an action's ref and the records of its reads, for as long as this process runs."""
    _watches.append(watch)


def write_audit(request: ExecutionRequest, action_ref: str, records: Iterable[ReadRecord]) -> None:
    """Write a line for each of the secrets that an execution asked for."""
    records = tuple(records)
    for watch in _watches:
        watch(action_ref, records)
    if not (LOGGER.isEnabledFor(logging.INFO) and LOGGER.hasHandlers()):
        return  # nobody would get them
    caller = "caller" if request.caller_verified else "claimed_by"
    for record in records:
        entry: dict[str, Any] = {
            "time": record.time.isoformat(timespec="microseconds"),
            "event": "secret_read",
            "execution_id": str(request.execution_id),
            "task_id": request.task_id,
            "action": action_ref,
            caller: None if request.caller is None else str(request.caller)[:_LONGEST],
            "secret": record.name,
            "reference": record.reference,
            "provider": record.provider,
            "version": record.version,
            "request_id": record.request_id,
            "cached": record.cached,
            "outcome": record.outcome,
        }
        # ASCII: what is no ASCII may be taken for the end of a line somewhere.
        LOGGER.info("%s", json.dumps(entry, ensure_ascii=True, default=str))
