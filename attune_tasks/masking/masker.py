"""The masker: takes the values of secrets out of what an action printed, returned or failed with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain, count
from typing import Any, Final, NoReturn

from attune_tasks.masking.search import Search
from attune_tasks.masking.stream import StreamMasker

__all__ = ["SHORTEST", "Masker"]

SHORTEST: Final = 4
"""Characters. What is shorter is not masked: it would occur by chance and ruin every output."""


class Masker:
    """Replaces the values of secrets by :attr:`mask`.

    What is looked for: each value, and each line of a value of several lines, of at least :data:`SHORTEST`
    characters; of a value that is a JSON object or list, also each text in it. Lines of nothing but white space are
    no secret. Encoded forms (base64, URL) are not looked for.
    `repr()` tells the number of patterns only, and a masker is not pickled.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Mask the values of `secrets`, name to value. Patterns are made when first needed: beside a running child."""
        self._secrets = secrets

    @cached_property
    def _texts(self) -> set[str]:
        return {pattern for value in self._secrets.values() for pattern in _patterns_of(value)}

    @cached_property
    def _search(self) -> Search:
        return Search(map(_encode, self._texts))

    @property
    def margin(self) -> int:
        """Bytes of the longest pattern: how far before the first byte shown an occurrence can begin."""
        return self._search.longest

    @cached_property
    def mask(self) -> str:
        """``***``; other characters where a secret holds these in a way that a mask could complete a secret."""
        return _mask_for(self._texts)

    def __repr__(self) -> str:
        """Tell the number of patterns only."""
        return f"Masker({len(self._search.patterns)} patterns)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a pickle would hold the values."""
        msg = "a masker is not pickled: it holds secrets"
        raise TypeError(msg)

    def mask_bytes(self, data: bytes, skip: int = 0) -> bytes:
        """Give `data` from byte `skip` on, each run of overlapping occurrences replaced by the mask.

        The bytes before `skip` are looked at and not shown: a run that reaches over `skip` gives a mask at the
        start. :attr:`margin` bytes before `skip` are enough to know what more would show.
        """
        if not (data and self._search):
            return data[skip:]
        pieces = []
        position = skip
        mask = _encode(self.mask)
        for start, end in self._search.runs(data):
            if end > skip:
                pieces += [data[position:start], mask]  # the slice is empty where the run began before `skip`
                position = end
        pieces.append(data[position:])
        return b"".join(pieces)

    def stream(self, skip: int = 0) -> StreamMasker:
        """Give a masker of one stream, which takes it in pieces: ``feed(bytes) -> bytes``, ``flush() -> bytes``.

        The first `skip` bytes of the stream are looked at and not shown, as in :meth:`mask_bytes`.
        """
        return StreamMasker(self._search, _encode(self.mask), skip)

    def mask_text(self, text: str) -> str:
        """Give `text` masked; lone surrogates in it stay as they are."""
        if not text:
            return text
        data = _encode(text)
        masked = self.mask_bytes(data)
        return text if masked == data else _decode(masked)  # the same object: a large text is not copied

    def mask_json(self, value: Any) -> Any:
        """Give a JSON value masked, keys too, its shape kept.

        A number in whose decimal text a secret occurs becomes the mask as text. Keys which are alike when masked get
        a number. Raises TypeError for what is no JSON value.
        """
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self.mask_text(value)
        if isinstance(value, int | float):
            text = str(value)
            return value if self.mask_text(text) == text else self.mask
        if isinstance(value, list | tuple):
            return [self.mask_json(item) for item in value]
        if isinstance(value, Mapping):
            return self._mask_object(value)
        msg = f"{type(value).__name__} is no JSON value"
        raise TypeError(msg)

    def _mask_object(self, members: Mapping[str, Any]) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        tried: dict[str, int] = {}
        for key, value in members.items():
            name = plain = self.mask_text(key)
            # The mask before the number keeps the number from completing a secret with what stands before it.
            stem = plain if plain.endswith(self.mask) else plain + self.mask
            while name in masked or self.mask_text(name) != name:
                tried[stem] = tried.get(stem, 1) + 1
                name = f"{stem}{tried[stem]}"
            masked[name] = self.mask_json(value)
        return masked


def _patterns_of(value: str) -> Iterator[str]:
    yield from _lines_of(value)
    if value.startswith(("{", "[")):  # a secret taken whole, as JSON: an action uses its parts
        for text in _texts_in(value):
            yield from _lines_of(text)


def _lines_of(text: str) -> Iterator[str]:
    if len(text) >= SHORTEST:
        yield text
    if "\n" in text:
        for line in text.split("\n"):
            bare = line.strip("\r")
            if len(bare) >= SHORTEST and not bare.isspace():
                yield bare


def _texts_in(document: str) -> Iterator[str]:
    try:
        parts = [json.loads(document)]
    except (ValueError, RecursionError):
        return
    while parts:
        part = parts.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict | list):
            parts += part.values() if isinstance(part, dict) else part


def _mask_for(patterns: set[str]) -> str:
    """Choose a mask that is no part of any pattern's occurrence, whatever stands beside it.

    An occurrence that takes in part of a mask begins in it, ends in it, or holds it whole. So where no pattern begins
    or ends with the character or holds it three times in a row, masked output holds no pattern after one pass.
    """
    edges = {pattern[0] for pattern in patterns} | {pattern[-1] for pattern in patterns}
    for char in chain("*#=~", map(chr, count(0x2588))):  # U+2588 and on: blocks and geometric shapes
        if char not in edges and not any(char * 3 in pattern for pattern in patterns):
            return char * 3
    raise AssertionError  # pragma: no cover - patterns are finitely many


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
