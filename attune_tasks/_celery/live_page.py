"""What an execution has said since somebody last asked: for pages, which ask again and again and never wait."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from celery import Celery

from attune_tasks._celery.live_client import impatient
from attune_tasks._celery.live_events import FIELD, AttemptEnd, OutputEvent, ProgressEvent, read_events
from attune_tasks._celery.live_stream import stream_key
from attune_tasks._celery.shared_state import shared_state

__all__ = ["BEGINNING", "LivePage", "is_place", "read_live_page"]

BEGINNING: Final = "0-0"
_PLACE: Final = re.compile(r"\d{1,20}-\d{1,20}")
_ENTRIES: Final = 100


class LivePage(NamedTuple):
    """A part of a stream."""

    events: Sequence[OutputEvent | ProgressEvent]
    after: str
    """What to ask with next."""
    has_more: bool
    """Whether to ask again at once."""
    fault: str = ""
    """The class of what was raised where it can't be read; then there are no events, and `after` is as it was."""


def is_place(text: str) -> bool:
    """Say whether `text` may be the `after` of a page: it comes back from a browser."""
    return _PLACE.fullmatch(text) is not None


def read_live_page(app: Celery, execution_id: int, after: str, log: logging.Logger) -> LivePage | None:
    """Give the events behind `after`; None where there is no shared state. An unknown `after` is the beginning.

    Raises nothing. Where the server is away the page says so within half a second, and `log` has a line.
    """
    if not is_place(after):
        after = BEGINNING
    try:
        return _read(app, execution_id, after)
    except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
        fault = type(error).__name__
        log.warning("the output of execution %s can't be read: %s", execution_id, fault)
        return LivePage((), after, has_more=False, fault=fault)


def _read(app: Celery, execution_id: int, after: str) -> LivePage | None:
    state = shared_state(app)
    if state is None:
        return None
    answer = impatient(state.client).xread({stream_key(state, execution_id): after}, count=_ENTRIES)
    events: list[OutputEvent | ProgressEvent] = []
    entries = 0
    for entry_id, fields in _entries(answer):
        entries += 1
        after = entry_id.decode() if isinstance(entry_id, bytes) else str(entry_id)
        found = read_events(fields.get(FIELD, fields.get(FIELD.decode(), b"")))
        events += [event for event in found if not isinstance(event, AttemptEnd)]
    return LivePage(events, after, entries >= _ENTRIES)


def _entries(answer: Any) -> list[Any]:
    """Take the entries out of an answer, by the protocol RESP2 or RESP3, which nests them once more."""
    streams = answer.items() if isinstance(answer, dict) else answer or ()
    found: list[Any] = []
    for _, entries in streams:
        for each in entries:
            found += each if isinstance(each, list) else [each]
    return found
