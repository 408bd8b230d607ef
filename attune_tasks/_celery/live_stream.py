"""The Redis stream of one execution: its name, and writing to it within its bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from celery import Celery

from attune_tasks._celery.live_events import FIELD, AttemptEnd, OutputEvent, ProgressEvent, write_events
from attune_tasks._celery.result_expiry import kept_seconds
from attune_tasks._celery.shared_state import SharedState

if TYPE_CHECKING:
    from attune_tasks.settings.model import LiveSettings

__all__ = ["LiveStream", "stream_key"]

_LONGEST_SECONDS: Final = 10 * 365 * 86_400


def stream_key(state: SharedState, execution_id: int) -> str:
    """Name the stream of an execution."""
    return state.key("live", execution_id)


class LiveStream:
    """Knows what it has written, so that Redis keeps no more than it should."""

    def __init__(self, app: Celery, state: SharedState, execution_id: int, settings: LiveSettings) -> None:
        """Write nothing yet."""
        self._key = stream_key(state, execution_id)
        seconds = settings.keep_seconds or kept_seconds(app)
        self._seconds = max(1, int(min(_LONGEST_SECONDS, seconds)))
        self._keep_bytes = settings.keep_bytes
        self._keep_entries = settings.keep_entries
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._is_full = False

    @property
    def has_entries(self) -> bool:
        """Say whether there was anything to write."""
        return bool(self._sizes)

    def put(self, pipeline: Any, events: Sequence[OutputEvent | ProgressEvent | AttemptEnd]) -> None:
        """Add the commands that write one entry to a pipeline. The first of them gives whether it was written."""
        data = write_events(events)
        self._sizes.append(len(data))
        self._bytes += len(data)
        while len(self._sizes) > 1 and (self._bytes > self._keep_bytes or len(self._sizes) > self._keep_entries):
            self._bytes -= self._sizes.popleft()
            self._is_full = True
        # Before it has filled the stream by itself, what an earlier attempt wrote may stay there, too.
        longest = len(self._sizes) if self._is_full else self._keep_entries
        pipeline.xadd(self._key, {FIELD: data}, maxlen=longest, approximate=True)
        pipeline.expire(self._key, self._seconds)
