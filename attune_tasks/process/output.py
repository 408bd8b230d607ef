"""The end of a stream: the last bytes of it, masked, then cut."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

__all__ = ["Filtered", "NoFilter", "OutputFilter", "StreamFilter", "TailBuffer", "without_broken_start"]

_PIECE_BYTES: Final = 1 << 14


class StreamFilter(Protocol):
    """What masks one stream as it passes."""

    @property
    def held_bytes(self) -> int:
        """How much is held back, for it may be the beginning of something that is masked."""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give what can be shown by now."""

    def flush(self, data: bytes = b"") -> bytes:
        """Take the last bytes, and give all that was held back: the stream has ended."""


class OutputFilter(Protocol):
    """What masks a stream. The executor gives one; this layer does not know what it looks for."""

    @property
    def margin(self) -> int:
        """Length in bytes of the longest thing that it looks for. Takes a moment: not asked for where all is kept."""

    def add(self, value: str) -> bool:
        """Mask `value`, too, from now on; give whether it will."""

    def mask_bytes(self, data: bytes, skip: int = 0, surface: str = "text") -> bytes:
        """Give `data` from the offset `skip` on, masked; the bytes before are looked at and not shown.

        `surface` says what it is, for whoever counts.
        """

    def stream(self, skip: int = 0) -> StreamFilter:
        """Give what masks one stream as it passes, its first `skip` bytes looked at and not shown."""


class NoFilter:
    """Shows everything: for a runtime used on its own."""

    margin = 0

    def add(self, value: str) -> bool:  # noqa: ARG002 - the shape of a filter
        """Do nothing."""
        return False

    def mask_bytes(self, data: bytes, skip: int = 0, surface: str = "text") -> bytes:  # noqa: ARG002 - the same
        """Give `data` from `skip` on."""
        return data[skip:]

    def stream(self, skip: int = 0) -> StreamFilter:
        """Give what lets all pass but the first `skip` bytes."""
        return _Passing(skip)


class _Passing:
    held_bytes = 0

    def __init__(self, skip: int) -> None:
        self._skip = skip

    def feed(self, data: bytes) -> bytes:
        skipped, self._skip = self._skip, max(0, self._skip - len(data))
        return data[skipped:]

    def flush(self, data: bytes = b"") -> bytes:
        return self.feed(data)


class Filtered(str):
    """A text that has gone through the filter of its execution: it need not go through it again."""

    __slots__ = ()


class TailBuffer:
    """Keeps the last `cap` bytes of a stream, and `margin` more in front of them.

    The bytes in front may begin in the middle of a secret, which could not be recognised there: they are searched
    together with the rest and never shown.
    """

    def __init__(self, cap: int, output_filter: OutputFilter, surface: str = "text") -> None:
        """Make an empty buffer; `cap` in bytes. `surface` is what the filter is told that this is."""
        self._cap = cap
        self._filter = output_filter
        self._surface = surface
        self._pieces: deque[bytes] = deque()
        self._size = 0
        """Bytes in the pieces."""
        self._small = bytearray()
        """Gathers small reads, or a stream written byte by byte would be a million pieces."""
        self._total = 0

    def append(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self._total += len(chunk)
        if self._small or len(chunk) < _PIECE_BYTES:
            self._small += chunk
            if len(self._small) < _PIECE_BYTES:
                return
            chunk = self._gathered()
        self._pieces.append(chunk)
        self._size += len(chunk)
        if self._size <= self._cap:
            return
        limit = self._cap + self._filter.margin
        while self._pieces and self._size - len(self._pieces[0]) >= limit:
            self._size -= len(self._pieces.popleft())

    def raw(self) -> bytes | None:
        """Give the whole stream unmasked; None where it was longer than is kept."""
        return b"".join((*self._pieces, self._small)) if self._total <= self._cap else None

    def finish(self) -> tuple[Filtered, bool]:
        """Give what is kept as masked text, and whether the stream had more before it. Empties the buffer."""
        self._pieces.append(self._gathered())
        data = b"".join(self._pieces)
        self._pieces.clear()
        margin = self._filter.margin if self._total > self._cap else 0
        dropped = self._total > self._cap + margin
        if dropped:  # fewer than these are there where the margin has grown meanwhile
            data = data[-(self._cap + margin) :]
        masked = self._filter.mask_bytes(data, margin if dropped else 0, self._surface)
        del data  # each of these is as large as what is kept
        truncated = dropped or len(masked) > self._cap
        if len(masked) > self._cap:
            masked = masked[-self._cap :] if self._cap else b""
        if truncated:
            masked = without_broken_start(masked)
        text = masked.decode(errors="replace")
        del masked
        return Filtered(text), truncated

    def _gathered(self) -> bytes:
        gathered = bytes(self._small)
        self._small.clear()
        return gathered


def without_broken_start(data: bytes) -> bytes:
    """Drop what a cut left of a UTF-8 character: up to three continuation bytes."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:  # noqa: PLR2004 - 10xxxxxx, RFC 3629
        start += 1
    return data[start:]
