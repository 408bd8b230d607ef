"""An execution's output, a page at a time: for who comes again and again, and keeps nothing open meanwhile."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from celery import Celery

from attune_tasks._celery.live_events import FIELD, AttemptEnd, read_events
from attune_tasks._celery.live_stream import stream_key
from attune_tasks._celery.shared_state import shared_state

__all__ = ["OutputPage", "output_page"]

_BEGINNING: Final = "0-0"
_PLACE: Final = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
_ENTRIES: Final = 50
"""Of at most 64 KiB each."""


class OutputPage(NamedTuple):
    """What an execution has said from some place on."""

    events: tuple[dict[str, Any], ...]
    """Output and progress, as ``Handle.follow`` gives them, as JSON has it."""
    next: str
    """The place behind it, from which the next page is asked for."""
    is_full: bool
    """Whether there may be more by now."""


def output_page(app: Celery, execution_id: int, after: str = "") -> OutputPage:
    """Give what is there from the place `after` on, empty: from the beginning of what is kept.

    Where there is no shared state there is nothing. Raises ValueError for what is no place, and what the client raises.
    """
    place = after or _BEGINNING
    if not _PLACE.fullmatch(place):
        msg = "not a place in the output: expected `next` of the page before, or nothing"
        raise ValueError(msg)
    state = shared_state(app)
    if state is None:
        return OutputPage((), place, is_full=False)
    key = stream_key(state, execution_id)
    answer: Any = state.client.xread({key: place}, count=_ENTRIES)
    streams = answer.items() if isinstance(answer, dict) else answer or ()  # by the protocol, RESP3 or RESP2
    entries = [entry for _, found in streams for entry in _flat(found)]
    events: list[dict[str, Any]] = []
    for entry_id, fields in entries:
        place = entry_id.decode() if isinstance(entry_id, bytes) else str(entry_id)
        found = read_events(fields.get(FIELD, fields.get(FIELD.decode(), b"")))
        events += [event.to_dict() for event in found if not isinstance(event, AttemptEnd)]
    return OutputPage(tuple(events), place, is_full=len(entries) == _ENTRIES)


def _flat(entries: Any) -> Any:
    for entry in entries:
        if isinstance(entry, list):  # RESP3 nests them once more
            yield from _flat(entry)
        else:
            yield entry
