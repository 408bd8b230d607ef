"""What a child says while it runs: masked, in batches, for whoever wants to show it. Costs nothing where nobody does.

The supervisor hands over bytes as it reads them. They wait, bounded, until a batch is due; then they are masked as a
stream is, and given to the sink. Where more came than a batch holds, its middle is left out and counted. The sink may
say that it is not ready: then they wait on, in the same bounds.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from attune_tasks.process.control import MAX_PROGRESS_CHARACTERS, Progress
from attune_tasks.process.output import OutputFilter, StreamFilter, without_broken_start

__all__ = ["Batch", "Live", "LiveSink", "Piece"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stream, masked."""

    stream: str
    """``stdout`` or ``stderr``."""
    text: str
    dropped: int = 0
    """Bytes that are missing in front of it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was said since the last one. In each stream the pieces are in order; the streams are by who spoke first."""

    pieces: tuple[Piece, ...] = ()
    progress: Progress | None = None
    """The last one; its message is masked."""

    def __bool__(self) -> bool:
        """Say whether it says anything."""
        return bool(self.pieces) or self.progress is not None


class LiveSink(Protocol):
    """Where batches go. All is called from the thread that supervises the child, and must not keep it waiting."""

    interval: float
    """Seconds, at the least, from one batch to the next."""
    batch_bytes: int
    """Bytes of each stream that a batch holds; more is left out in the middle."""

    def ready(self) -> bool:
        """Say whether it takes a batch now."""

    def send(self, batch: Batch) -> None:
        """Take a batch. It is never empty."""

    def finish(self, batch: Batch) -> None:
        """Take the last one, ready or not, once the child has ended; it may be empty."""


class Live:
    """Gathers what one child says, and hands it on."""

    def __init__(
        self, sink: LiveSink, output_filter: OutputFilter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Have nothing yet. `clock` gives seconds."""
        self._sink = sink
        self._filter = output_filter
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._order: list[str] = []
        self._progress: Progress | None = None
        self._sent_at = float("-inf")
        self.due: float | None = None
        """When :meth:`send_if_due` is to be called, by the clock; None: nothing waits."""

    def output(self, name: str, data: bytes) -> None:
        """Take the next bytes of a stream."""
        if name not in self._streams:
            self._streams[name] = _Stream(self._filter, self._sink.batch_bytes)
        if name not in self._order:
            self._order.append(name)
        self._streams[name].append(data)
        self._wait()

    def progress(self, progress: Progress) -> None:
        """Take what the child says of its progress: the last before a batch counts."""
        self._progress = progress
        self._wait()

    def send_if_due(self) -> None:
        """Send a batch where it is time, and the sink is ready."""
        if self.due is None or (now := self._clock()) < self.due:
            return
        if not self._sink.ready():
            self.due = now + self._sink.interval
            return
        self.due, self._sent_at = None, now
        batch = self._batch(last=False)
        if batch:
            self._sink.send(batch)

    def finish(self) -> None:
        """Send what is left: the child has ended, and all that it wrote is here."""
        self._order += [name for name in self._streams if name not in self._order]  # something may be held back
        self.due = None
        self._sink.finish(self._batch(last=True))

    def _wait(self) -> None:
        if self.due is None:
            # From the first byte on, so that what is said at once is in one batch.
            self.due = max(self._clock(), self._sent_at) + self._sink.interval

    def _batch(self, *, last: bool) -> Batch:
        pieces = [piece for name in self._order for piece in self._streams[name].take(name, last=last)]
        progress, self._progress, self._order = self._progress, None, []
        return Batch(tuple(pieces), self._shown(progress) if progress else None)

    def _shown(self, progress: Progress) -> Progress:
        data = progress.message.encode(errors="replace")
        stream = self._filter.stream()
        # One that was cut may end in the midst of something that is masked.
        was_cut = len(progress.message) >= MAX_PROGRESS_CHARACTERS
        shown = stream.feed(data) if was_cut else stream.flush(data)
        text = shown.decode(errors="replace")[:MAX_PROGRESS_CHARACTERS]
        return Progress(progress.percent, text)


class _Stream:
    """The bytes of one stream that wait: the first and the last half of a batch."""

    def __init__(self, output_filter: OutputFilter, batch_bytes: int) -> None:
        self._filter = output_filter
        self._half: Final = max(1, batch_bytes // 2)
        self._masker: StreamFilter = output_filter.stream()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._head = bytearray()
        self._tail = bytearray()
        self._passed = 0
        """Bytes that came behind the head, those in the tail included."""

    def append(self, data: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data:
            return
        self._passed += len(data)
        kept = self._half + self._filter.margin
        if len(data) >= kept:
            self._tail[:] = data[-kept:]
            return
        self._tail += data
        if len(self._tail) > 2 * kept:
            del self._tail[:-kept]

    def take(self, name: str, *, last: bool) -> list[Piece]:
        """Give what can be shown, and begin anew."""
        head, tail, passed = bytes(self._head), bytes(self._tail), self._passed
        self._head.clear()
        self._tail.clear()
        self._passed = 0
        margin = self._filter.margin if passed > self._half else 0
        kept = self._half + margin
        if passed <= min(kept, len(tail)):
            shown = self._masker.flush(head + tail) if last else self._masker.feed(head + tail)
            text = self._decoder.decode(shown, last)
            return [Piece(name, text)] if text else []
        shown = self._masker.feed(head)
        # Something is left out. What was held back may have been the beginning of a secret that goes on there, and the
        # bytes in front of what is shown behind it may be the middle of one: neither is shown.
        tail = tail[-kept:]  # fewer where the margin has grown meanwhile
        dropped = self._masker.held_bytes + passed - max(0, len(tail) - margin)
        before = self._decoder.decode(shown, True)  # noqa: FBT003 - it takes no name
        self._decoder.reset()
        self._masker = self._filter.stream(margin)
        shown = self._masker.flush(tail) if last else self._masker.feed(tail)
        text = self._decoder.decode(without_broken_start(shown), last)
        return [*([Piece(name, before)] if before else []), Piece(name, text, dropped)]
