"""How a text looks when it is encoded as a whole: base64 at each of its three offsets, and hex."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Final

__all__ = ["SHORTEST_ENCODED", "encodings_by_family", "encodings_of"]

SHORTEST_ENCODED: Final = 8
"""Bytes of an encoded form that is masked, at the least."""

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FIRST: Final = (0, 2, 3)
"""The first character that the text alone decides, by how many bytes stand before it."""


def encodings_of(data: bytes) -> Iterator[bytes]:
    """Give the encoded forms of `data`, without line breaks; one may come twice."""
    for _, form in encodings_by_family(data):
        yield form


def encodings_by_family(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Give what :func:`encodings_of` gives, each with ``hex`` or ``base64``."""
    for family, forms in (("hex", _hex(data)), ("base64", _base64(data))):
        for form in forms:
            if len(form) >= SHORTEST_ENCODED:
                yield family, form


def _hex(data: bytes) -> Iterator[bytes]:
    lower = data.hex()
    yield lower.encode()
    yield lower.upper().encode()


def _base64(data: bytes) -> Iterator[bytes]:
    for before in range(3):
        padded = b64encode(bytes(before) + data)[_FIRST[before] :]
        bare = padded.rstrip(b"=")
        # What comes after the text has its part in the last character, where the text does not end with it.
        for form in (padded, bare, bare[:-1]) if (before + len(data)) % 3 else (padded,):
            yield form
            if b"+" in form or b"/" in form:
                yield form.translate(_TO_URL)
