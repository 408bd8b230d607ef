"""Judges a worker by its notes and its queues.

A worker that answers pings may take nothing from its queue all the same: after a connection that was lost, with a pool
that hangs, or because somebody told it so. And one whose slots are all taken for hours takes nothing, and is well. So
the queue counts: something waits there, the worker has a free slot, and yet it takes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from celery import Celery

from attune_tasks._celery.health.note import NOTE_SECONDS, HealthNote, read_note
from attune_tasks._celery.shared_state import shared_state

__all__ = ["Verdict", "look_at_worker"]

_STALE_SECONDS: Final = 8 * NOTE_SECONDS
_BROKER_SECONDS: Final = 5
_PAUSE: Final = 0.5


class Verdict(NamedTuple):
    """What a look came to."""

    healthy: bool
    text: str


def look_at_worker(app: Celery, path: Path, seconds: float) -> Verdict:
    """Judge the worker that notes in `path`. `seconds`: how long it may take nothing of what waits, meanwhile watched.

    What a new start of the worker would not mend is not its fault: where the broker or the shared state can't be
    reached, nothing can be said against it.
    """
    note = read_note(path)
    if note is None:
        return Verdict(healthy=False, text=f"no worker notes in {path}")
    if note.stopping:
        return Verdict(healthy=True, text="the worker is being stopped")
    if note.blocking and note.busy >= note.slots:
        return Verdict(healthy=True, text="its one slot is taken")
    waiting = _in_time(lambda: _waiting(app, note.queues))
    if waiting is None:
        return Verdict(healthy=True, text="the broker can't be reached, so nothing can be said of the worker")
    silent = time.monotonic() - note.at
    if not 0 <= silent <= _STALE_SECONDS:  # before the start of this machine is no better
        return Verdict(healthy=False, text=f"the worker has noted nothing for {silent:.0f} s")
    return _watched(app, path, note, seconds, waiting)


def _watched(app: Celery, path: Path, first: HealthNote, seconds: float, waiting: int) -> Verdict:
    until = time.monotonic() + seconds
    note = first
    while True:
        if not waiting:
            return Verdict(healthy=True, text="nothing waits in its queues")
        if note.stopping or note.busy >= note.slots:
            return Verdict(healthy=True, text=f"{note.busy} of {note.slots} slots are taken")
        if note.progress != first.progress:
            return Verdict(healthy=True, text="it takes what waits")
        if time.monotonic() >= until:
            break
        time.sleep(_PAUSE)
        note = read_note(path) or note
        found = _in_time(lambda: _waiting(app, first.queues))
        waiting = waiting if found is None else found
    if _in_time(lambda: _shared_state_answers(app)) is None:
        return Verdict(healthy=True, text="the shared state can't be reached, so no execution can begin")
    text = (
        f"{waiting} messages wait in {', '.join(first.queues)}, {first.slots - note.busy} of {first.slots} slots are"
        f" free, and the worker has taken nothing for {seconds:g} s"
    )
    return Verdict(healthy=False, text=text)


def _waiting(app: Celery, queues: Iterable[str]) -> int:
    """Count the messages in the queues. Raises what the broker's client raises."""
    count = 0
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=_BROKER_SECONDS)
        errors = connection.channel_errors
        for queue in queues:
            opened: Any = connection.channel()  # its stub leaves out what channels do
            with opened as channel:  # a queue that is not there closes its channel
                try:
                    count += int(channel.queue_declare(queue=queue, passive=True).message_count)
                except errors:
                    continue
    return count


def _shared_state_answers(app: Celery) -> int:
    state = shared_state(app)
    if state is not None:
        state.client.ping()
    return 1


def _in_time(ask: Callable[[], int]) -> int | None:
    """Give an answer; None where it raises, or does not come in time: a client waits for longer than who asks here."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception:  # noqa: BLE001 - of whatever client, whose text may quote a URL: there is no answer
            answers.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_BROKER_SECONDS)
    return answers[0] if answers else None
