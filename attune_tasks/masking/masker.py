"""The masker: takes the values of secrets out of what an action printed, returned or failed with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from attune_tasks.masking.marks import mark_for
from attune_tasks.masking.maskable import is_maskable
from attune_tasks.masking.search import Search
from attune_tasks.masking.sought import RUN_TIME, Sought
from attune_tasks.masking.stream import StreamMasker

__all__ = ["RUN_TIME", "MaskStyle", "Masker"]

MaskStyle = Literal["plain", "named"]


class Masker:
    """Replaces the values of secrets by ``***``, or with the style ``named`` by ``***name***``.

    What is looked for is what :func:`variants_of` gives. A run of overlapping occurrences is replaced as one, by the
    name of the one that begins first and is the longest.
    `repr()` tells the number of values only, and a masker is not pickled.
    """

    def __init__(self, secrets: Mapping[str, str], style: MaskStyle = "plain") -> None:
        """Mask the values of `secrets`, name to value. Variants are made when first needed."""
        self._sought = Sought(secrets)
        self._style = style
        self._not_masked = tuple(name for name, value in secrets.items() if not is_maskable(value))
        self._refused = False
        self._marks: dict[str, bytes] = {}
        self._stream: StreamMasker | None = None
        self.counts: dict[str, dict[str, int]] = {}
        """How many masks were put where: by name of the secret, then by what was masked."""

    @property
    def not_masked(self) -> tuple[str, ...]:
        """Names of secrets whose values are too short or too common; last :data:`RUN_TIME`, if one of those was."""
        return (*self._not_masked, RUN_TIME) if self._refused else self._not_masked

    @property
    def search(self) -> Search:
        """What is looked for by now."""
        return self._sought.search

    @property
    def margin(self) -> int:
        """Bytes of the longest pattern: how far before the first byte shown an occurrence can begin."""
        return self.search.longest

    @property
    def mask(self) -> str:
        """``***``; other characters where a secret holds these in a way that a mask could complete a secret."""
        return self._mark("").decode()

    def add(self, value: str) -> bool:
        """Mask `value`, too, from now on; give whether it is. At most 100 values of 256 KiB in all are taken."""
        taken = self._sought.add(value)
        if taken:
            self._marks.clear()
        else:
            self._refused = True
        return taken

    def names_in(self, text: str | bytes) -> frozenset[str]:
        """Say of which secrets `text` holds a variant. Changes no counts."""
        return self._sought.names_in(text if isinstance(text, bytes) else _encode(text))

    def mask_bytes(self, data: bytes, skip: int = 0, surface: str = "text") -> bytes:
        """Give `data` from byte `skip` on, each run of overlapping occurrences replaced by a mask.

        The bytes before `skip` are looked at and not shown: a run that reaches over `skip` gives a mask at the
        start. :attr:`margin` bytes before `skip` are enough to know what more would show. `surface` is for `counts`.
        """
        pieces = []
        position = skip
        for start, end, name in self._sought.runs(data):
            if end > skip:
                pieces += [data[position:start], self._mark(name)]  # the slice is empty where the run began before
                position = end
                self._count(name, surface)
        pieces.append(data[position:])
        return b"".join(pieces)

    def stream(self, skip: int = 0, surface: str = "") -> StreamMasker:
        """Give a masker of one stream, which takes it in pieces: ``feed(bytes) -> bytes``, ``flush() -> bytes``.

        The first `skip` bytes of the stream are looked at and not shown, as in :meth:`mask_bytes`. Without a `surface`
        nothing is counted.
        """
        return StreamMasker(
            self._sought, self._mark, skip, (lambda name: self._count(name, surface)) if surface else None
        )

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of a stream; give what can be shown by now. For one stream: see :meth:`stream`."""
        if self._stream is None:
            self._stream = self.stream(surface="stream")
        return self._stream.feed(data)

    def flush(self) -> bytes:
        """Give what :meth:`feed` held back: the stream has ended."""
        return b"" if self._stream is None else self._stream.flush()

    def mask_text(self, text: str, surface: str = "text") -> str:
        """Give `text` masked; lone surrogates in it stay as they are."""
        if not text:
            return text
        data = _encode(text)
        masked = self.mask_bytes(data, surface=surface)
        return text if masked == data else _decode(masked)  # the same object: a large text is not copied

    def mask_cut_text(self, text: str, surface: str = "text") -> str:
        """Give masked a `text` that was cut at its end: what may be the beginning of a secret there is left out."""
        return _decode(self.stream(surface=surface).feed(_encode(text)))

    def mask_json(self, value: Any, surface: str = "text") -> Any:
        """Give a JSON value masked, keys too, its shape kept.

        A number in whose decimal text a secret occurs becomes the mask as text. Keys which are alike when masked get
        a number. Raises TypeError for what is no JSON value.
        """
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.mask_text(value, surface)
        if isinstance(value, int | float):
            text = str(value)
            return value if self.mask_text(text, surface) == text else self.mask
        if isinstance(value, list | tuple):
            return [self.mask_json(item, surface) for item in value]
        if isinstance(value, Mapping):
            return self._mask_object(value, surface)
        msg = f"{type(value).__name__} is no JSON value"
        raise TypeError(msg)

    def _mask_object(self, members: Mapping[str, Any], surface: str) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        tried: dict[str, int] = {}
        for key, value in members.items():
            name = plain = self.mask_text(key, surface)
            while name in masked or (name != plain and self.names_in(name)):
                # The mask before the number keeps the number from completing a secret with what stands before it.
                stem = plain if plain.endswith(self.mask) else plain + self.mask
                tried[stem] = tried.get(stem, 1) + 1
                name = f"{stem}{tried[stem]}"
            masked[name] = self.mask_json(value, surface)
        return masked

    def _mark(self, name: str) -> bytes:
        """Give what stands in place of the secret `name`, of any for the empty name."""
        if not self._marks:
            self._marks[""] = mark_for(self.search.patterns).encode()
        if self._style == "plain" or not name:
            return self._marks[""]
        if name not in self._marks:
            # Between two marks only a pattern that is within the name alone could be.
            data = _encode(name)
            mark = self._marks[""]
            self._marks[name] = mark if self._sought.names_in(data) else mark + data + mark
        return self._marks[name]

    def _count(self, name: str, surface: str) -> None:
        counts = self.counts.setdefault(name, {})
        counts[surface] = counts.get(surface, 0) + 1

    def __repr__(self) -> str:
        """Tell the number of values only."""
        return f"Masker({len(self._sought)} values)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle would hold the values."""
        msg = "a masker is not pickled: it holds secrets"
        raise TypeError(msg)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
