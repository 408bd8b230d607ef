"""What an execution has said by now, as views and pages give it: from the live stream, else from the record."""

from __future__ import annotations

import logging
from typing import Any, Final

from attune_tasks._celery.enqueueing import app_or_default
from attune_tasks._celery.live_page import BEGINNING, is_place, read_live_page
from attune_tasks.contrib.django.keeping import refresh
from attune_tasks.contrib.django.models import Execution

__all__ = ["output_of"]

logger: Final = logging.getLogger("attune_tasks.django")

_FROM_RECORD: Final = "record"
"""In place of a stream's place: all of the record was given."""


def output_of(execution: Execution, after: str = "") -> dict[str, Any]:
    """Give what is behind `after`, which the last answer named; empty: from the beginning.

    ``{"status", "ended", "after", "events", "error"}``; `events` are those of ``Handle.follow``. `ended`: nothing more
    will come. Where shared state is away, `error` says so by the class of what was raised.
    """
    if after != _FROM_RECORD and not is_place(after):
        after = ""
    app = app_or_default(None)
    page = None
    if after != _FROM_RECORD:
        # First the end, then the stream: what was written before the end is there by now.
        page = read_live_page(app, execution.execution_id, after or BEGINNING, logger)
        if page is None or not page.fault:
            had_ended = execution.has_ended
            execution = refresh(execution, app)
            if execution.has_ended and not had_ended and page is not None:
                again = read_live_page(app, execution.execution_id, page.after, logger)
                if again is not None:
                    page = again._replace(events=[*page.events, *again.events])
    events = [event.to_dict() for event in page.events] if page else []
    place = page.after if page else after
    has_more = page.has_more if page else False
    error = page.fault if page else ""
    if execution.has_ended and place in {"", BEGINNING}:
        events = _from_record(execution)  # there is no stream, or it has expired, or can't be read
        place = _FROM_RECORD
    return {
        "status": execution.status,
        "ended": execution.has_ended and not has_more and (not error or place == _FROM_RECORD),
        "after": place,
        "events": events,
        "error": error,
    }


def _from_record(execution: Execution) -> list[dict[str, Any]]:
    streams = {"stdout": execution.stdout, "stderr": execution.stderr}
    return [{"type": "output", "stream": name, "text": text, "dropped": 0} for name, text in streams.items() if text]
