"""Masking a stream as it passes: what is shown is what masking the whole of it would show, as early as can be."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from attune_tasks.masking.sought import Sought

__all__ = ["StreamMasker"]


class StreamMasker:
    """Takes a stream in pieces of any size, and gives it masked.

    The concatenation of what it gives is ``Masker.mask_bytes`` of the concatenation of what it took. Bytes are held
    back only while they can be the beginning of something that is masked, so fewer than the longest pattern has, and
    for however long: only more of the stream, or its end, releases them.
    """

    __slots__ = ("_count", "_covered", "_held", "_mark", "_owed", "_skip", "_sought")

    def __init__(
        self,
        sought: Sought,
        mark: Callable[[str], bytes],
        skip: int = 0,
        count: Callable[[str], None] | None = None,
    ) -> None:
        """Begin a stream whose first `skip` bytes are looked at and not shown.

        To `sought` something may be added from one piece to the next; `mark` gives what stands in place of a secret, by
        its name; `count` is told the name for each.
        """
        self._sought = sought
        self._mark = mark
        self._count = count
        self._skip = skip
        self._held = b""
        self._covered = 0
        """How many of the held bytes belong to a run that began before them."""
        self._owed: str | None = None
        """The name of that run where it has no mask yet, for all of it was skipped so far."""

    @property
    def held_bytes(self) -> int:
        """How much is held back."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; give what can be shown by now."""
        data = self._held + data
        return self._release(data, self._sought.search.open_from(data))

    def flush(self, data: bytes = b"") -> bytes:
        """Take the last bytes, and give all that was held back: the stream has ended. Another may begin."""
        data = self._held + data
        shown = self._release(data, len(data))
        self._skip = 0
        return shown

    def __repr__(self) -> str:
        """Tell how much is held back, and nothing of it."""
        return f"StreamMasker({len(self._held)} bytes held)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle would hold the values."""
        msg = "a stream's masker is not pickled: it holds secrets"
        raise TypeError(msg)

    def _release(self, data: bytes, until: int) -> bytes:
        """Show `data` up to `until`, from which on nothing is decided; keep the rest."""
        pieces: list[bytes] = []
        position = min(self._skip, until)
        goes_on = bool(self._covered)
        covered, owed = 0, None
        for start, end, found in self._sought.runs(data, self._covered):
            if start >= until and not goes_on:
                break
            name: str | None = found
            if goes_on:
                name, goes_on = self._owed, False
            if self._skip < until and end > self._skip:
                pieces.append(data[position:start])  # empty where the run began before
                if name is not None:
                    pieces.append(self._masked(name))
                    name = None
                position = min(end, until)
            if end > until:
                covered, owed = end - until, name
        pieces.append(data[position:until])
        self._skip -= min(self._skip, until)
        self._held, self._covered, self._owed = data[until:], covered, owed
        return b"".join(pieces)

    def _masked(self, name: str) -> bytes:
        if self._count is not None:
            self._count(name)
        return self._mark(name)
