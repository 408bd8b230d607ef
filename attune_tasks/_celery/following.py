"""The follower's side: reads an execution's stream until the execution has ended. The worker never waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from celery.result import EagerResult

from attune_tasks._celery.claims.outage import insist
from attune_tasks._celery.live_events import FIELD, AttemptEnd, EndEvent, Event, read_events
from attune_tasks._celery.live_stream import stream_key
from attune_tasks._celery.shared_state import shared_state

__all__ = ["follow"]

_SHORTEST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 1.0
_WAIT_SHARE: Final = 0.1
"""Of the time for which it has been quiet: an end without a word is seen by then."""
_POLL_SECONDS: Final = 0.05
"""Between two looks at the result, where it is all that there is."""
_ENTRIES: Final = 50
"""That are read at once."""
_PATIENCE_SECONDS: Final = 10.0
_NOT_ENDED: Final = frozenset({"pending", "running"})


def follow(async_result: Any, execution_id: int, status: Callable[[], str], *, wait: bool) -> Iterator[Event]:
    """Yield the events of an execution; `status` says how it stands. See ``Handle.follow``."""
    if isinstance(async_result, EagerResult):  # it ran here, or was caught by a test
        yield from _end(status())
        return
    reader = _Reader(async_result.app, execution_id)
    while True:
        quiet = time.monotonic() - reader.heard_at
        seconds = min(_LONGEST_WAIT, max(_SHORTEST_WAIT, quiet * _WAIT_SHARE))
        found = list(reader.read(seconds if wait else None))
        yield from found
        if found and not reader.attempt_ended:
            continue
        stands = insist(status, _PATIENCE_SECONDS)
        if stands not in _NOT_ENDED or not wait:
            while rest := list(reader.read(None)):  # what was written before the end is there by now
                yield from rest
            yield from _end(stands)
            return


def _end(status: str) -> Iterator[EndEvent]:
    if status not in _NOT_ENDED:
        yield EndEvent(status)


class _Reader:
    """Reads a stream from its beginning on; where there is no shared state, it waits and reads nothing."""

    def __init__(self, app: Any, execution_id: int) -> None:
        state = shared_state(app)
        self._client = state.client if state else None
        self._key = stream_key(state, execution_id) if state else ""
        self._last: bytes | str = "0-0"
        self.heard_at = time.monotonic()
        """When it last had something."""
        self.attempt_ended = False
        """Whether the last that was read is the end of an attempt. Another may follow."""
        self._longest_wait = _LONGEST_WAIT
        if self._client is not None:
            given = self._client.connection_pool.connection_kwargs.get("socket_timeout")
            if given:
                self._longest_wait = min(_LONGEST_WAIT, given / 2)

    def read(self, seconds: float | None) -> Iterator[Event]:
        """Give the events that are there, or wait for some, `seconds` at most; None: do not wait."""
        client = self._client
        if client is None:
            time.sleep(min(seconds or 0, _POLL_SECONDS))
            return
        block = None if seconds is None else max(1, int(min(seconds, self._longest_wait) * 1000))
        answer = insist(lambda: client.xread({self._key: self._last}, count=_ENTRIES, block=block), _PATIENCE_SECONDS)
        streams = answer.items() if isinstance(answer, dict) else answer or ()  # by the protocol, RESP3 or RESP2
        for _, entries in streams:
            for entry_id, fields in _flat(entries):
                self._last, self.heard_at = entry_id, time.monotonic()
                for event in read_events(fields.get(FIELD, fields.get(FIELD.decode(), b""))):
                    self.attempt_ended = isinstance(event, AttemptEnd)
                    if not isinstance(event, AttemptEnd):
                        yield event


def _flat(entries: Any) -> Iterator[tuple[Any, Any]]:
    for entry in entries:
        if isinstance(entry, list):  # RESP3 nests them once more
            yield from _flat(entry)
        else:
            yield entry
