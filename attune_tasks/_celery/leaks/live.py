"""The surface "live stream": the output and the progress of each execution, as its followers read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.leaks.base import CelerySurface
from attune_tasks._celery.leaks.in_time import say
from attune_tasks._celery.leaks.readings import Seam, unseen_at_seams
from attune_tasks._celery.leaks.redis_places import close_client
from attune_tasks._celery.live_client import impatient
from attune_tasks._celery.live_events import FIELD, OutputEvent, ProgressEvent, read_events
from attune_tasks._celery.live_stream import stream_key
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.shared_state import SharedState, shared_state
from attune_tasks.leaks import Row, Seeker, Watched

__all__ = ["LiveSurface"]

_ENTRIES: Final = 500
"""Of one stream at one look."""
_ENTRIES_AT_END: Final = 20_000
_FAILURES: Final = 3


class LiveSurface(CelerySurface):
    """Follows the stream of each execution, and joins what was written to it in pieces."""

    def __init__(self, app: Celery, seeker: Seeker) -> None:
        """Read nothing yet."""
        super().__init__("live stream", seeker)
        self._app = app
        self._state: SharedState | None = None
        self._last: dict[int, str] = {}
        self._seams: dict[tuple[int, str], Seam] = {}
        self._failures = 0

    def begin(self) -> None:
        """See whether there are streams."""
        try:
            state = shared_state(self._app)
            enabled = state_of(self._app).loaded.settings.live.enabled
        except Exception as error:  # noqa: BLE001 - settings and clients of any kind
            self._not_looked_at(f"the shared state can't be asked ({say(error)}): see `attune-tasks doctor`")
            return
        if state is None:
            self._not_looked_at("there is no shared state, so nothing is followed: see state_url")
        elif not enabled:
            self._not_looked_at("nothing is followed: live.enabled is false")
        else:
            self._state = state.by(impatient(state.client))

    def look(self, executions: Sequence[Watched]) -> None:
        """Read what is new."""
        self._read(executions, _ENTRIES)

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Read the rest."""
        self._failures = 0
        if not self._read(executions, _ENTRIES_AT_END):
            self._not_looked_at("the shared state did not answer: see `attune-tasks doctor`")
        if self._state is not None:
            if unseen := unseen_at_seams(self._findings.seeker):
                self._partly(unseen)
            close_client(self._state.client)
        return super().end(executions)

    def _read(self, executions: Sequence[Watched], at_most: int) -> bool:
        if self._state is None or self._failures >= _FAILURES:
            return True
        for each in executions:
            try:
                is_whole = self._follow(self._state, each.execution_id, at_most)
            except Exception as error:  # noqa: BLE001 - the client's own: its text may quote the URL
                self._failures += 1
                self._partly(f"a look failed ({say(error)})")
                return False
            if not is_whole and at_most == _ENTRIES_AT_END:
                self._partly(f"of one stream, what came after {_ENTRIES_AT_END} entries")
        return True

    def _follow(self, state: SharedState, execution_id: int, at_most: int) -> bool:
        """Read what is new, up to so many entries; give whether that was all."""
        key = stream_key(state, execution_id)
        while at_most > 0:
            start = f"({self._last[execution_id]}" if execution_id in self._last else "-"
            found = state.client.xrange(key, min=start, count=min(at_most, _ENTRIES))
            for entry_id, fields in found:
                self._last[execution_id] = entry_id.decode() if isinstance(entry_id, bytes) else str(entry_id)
                self._take(execution_id, key, fields or {})
            at_most -= _ENTRIES
            if len(found) < _ENTRIES:
                return True
        return False

    def _take(self, execution_id: int, key: str, fields: dict[Any, Any]) -> None:
        for name, value in fields.items():
            self._search(value, f"stream {key}, field {name.decode() if isinstance(name, bytes) else name}")
        for event in read_events(fields.get(FIELD, fields.get(FIELD.decode(), b""))):
            if isinstance(event, OutputEvent):
                seam = self._seams.setdefault((execution_id, event.stream), Seam(self._findings.seeker))
                self._search(seam.joined(event.text.encode(errors="surrogatepass")), f"stream {key}, {event.stream}")
            elif isinstance(event, ProgressEvent):
                self._search(event.message, f"stream {key}, progress")
