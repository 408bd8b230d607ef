"""What a follower gets: output, progress, the end. And how a batch of it stands in an entry of a Redis stream.

An entry has one field, ``events``: a JSON list of objects, as :meth:`to_dict` gives them; ``attempt_end`` stands there
for the end of one attempt, after which another may follow, and ``dropped`` for what never reached the stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from attune_tasks.process import Batch  # a worker's: a client, which reads events, runs anywhere

__all__ = [
    "FIELD",
    "AttemptEnd",
    "EndEvent",
    "Event",
    "OutputEvent",
    "ProgressEvent",
    "events_of_batch",
    "lines_of",
    "read_events",
    "write_events",
]

FIELD: Final = b"events"
_STREAMS: Final = ("stdout", "stderr")


class _Event:
    type: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {"type": self.type, **asdict(self)}  # type: ignore[call-overload]  # each subclass is a dataclass


@dataclass(frozen=True, slots=True)
class OutputEvent(_Event):
    """A line of output, masked, with its newline; without one, the rest of the line comes with a later event."""

    type: ClassVar[str] = "output"
    stream: str
    """``stdout`` or ``stderr``."""
    text: str
    dropped: int = 0
    """Bytes that are missing before it: more was written at once than is passed on."""


@dataclass(frozen=True, slots=True)
class ProgressEvent(_Event):
    """How far the action says that it is."""

    type: ClassVar[str] = "progress"
    percent: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class EndEvent(_Event):
    """The end of the execution: always the last event."""

    type: ClassVar[str] = "end"
    status: str


@dataclass(frozen=True, slots=True)
class AttemptEnd(_Event):
    """The end of one attempt, as the worker saw it. What is final, the result backend says."""

    type: ClassVar[str] = "attempt_end"
    status: str


Event = OutputEvent | ProgressEvent | EndEvent


def events_of_batch(batch: Batch) -> Iterator[OutputEvent | ProgressEvent]:
    """Give a batch as events, its output whole."""
    for piece in batch.pieces:
        yield OutputEvent(piece.stream, piece.text, piece.dropped)
    if batch.progress is not None:
        yield ProgressEvent(batch.progress.percent, batch.progress.message)


def lines_of(event: OutputEvent) -> Iterator[OutputEvent]:
    """Take output apart into its lines."""
    *lines, rest = event.text.split("\n")
    dropped = event.dropped
    for text in (*(f"{line}\n" for line in lines), *([rest] if rest or (dropped and not lines) else [])):
        yield OutputEvent(event.stream, text, dropped)
        dropped = 0


def write_events(events: Sequence[OutputEvent | ProgressEvent | AttemptEnd]) -> bytes:
    """Give the text of an entry's field."""
    return json.dumps([event.to_dict() for event in events], ensure_ascii=False, separators=(",", ":")).encode()


def read_events(data: bytes | str) -> Iterator[OutputEvent | ProgressEvent | AttemptEnd]:
    """Give the events of an entry's field, output by lines. What is not understood is left out."""
    try:
        found = json.loads(data)
    except ValueError:
        return
    for event in found if isinstance(found, list) else ():
        match event:
            case {"type": "output", "stream": str(stream), "text": str(text)} if stream in _STREAMS:
                dropped = event.get("dropped")
                yield from lines_of(OutputEvent(stream, text, dropped if isinstance(dropped, int) else 0))
            case {"type": "progress", "percent": int(percent) | float(percent), "message": str(message)}:
                yield ProgressEvent(float(percent), message)
            case {"type": "attempt_end", "status": str(status)}:
                yield AttemptEnd(status)
