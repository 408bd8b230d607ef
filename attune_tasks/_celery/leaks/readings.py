"""What a text says in other words: messages hold their bodies as base64 within JSON, and results texts within JSON.

A seeker knows a value in many forms, but no form of a form. So each layer is taken off, and searched by itself.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from attune_tasks.leaks import Seeker

__all__ = ["Seam", "readings", "unseen_at_seams"]

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_DEEPEST: Final = 3
_JSON_BYTES: Final = 4 << 20
_LEAST: Final = 4096
"""Bytes of an overlap: a value may become known behind its first piece. No form of a canary is longer."""
_MOST: Final = 256 << 10
"""Each piece is searched with the overlap: of a value of more than 20,000 letters the longest forms are longer."""


class Seam:
    """Joins what comes in pieces, so that a value which two of them share is found."""

    def __init__(self, seeker: Seeker) -> None:
        """Have nothing yet; `seeker` knows how long a form may be."""
        self._seeker = seeker
        self._tail = b""

    def joined(self, piece: bytes) -> bytes:
        """Give a piece behind the end of those before it."""
        data = self._tail + piece
        self._tail = data[-max(_LEAST, min(_MOST, self._seeker.longest)) :]
        return data


def unseen_at_seams(seeker: Seeker) -> str:
    """Say what is not found where it comes in pieces; empty: all is."""
    if seeker.longest <= _MOST:
        return ""
    return f"a form of a secret that is longer than {_MOST >> 10} KiB, where it was written in pieces"


def readings(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """Give `data`, then the texts in it where it is JSON, what its base64 says, and HTML without its entities."""
    yield data
    if depth >= _DEEPEST:
        return
    if texts := _texts_of_json(data):
        yield texts
    if decoded := b"\n".join(_decoded(data)):
        yield from readings_of_each(decoded, depth)
    if b"&" in data and b"<" in data:
        yield html.unescape(data.decode(errors="replace")).encode()


def readings_of_each(decoded: bytes, depth: int) -> Iterator[bytes]:
    """Give the readings of base64 texts, which stand on lines of their own where they are JSON."""
    for line in decoded.splitlines():
        if line[:1] in {b"{", b"["}:
            yield from readings(line, depth + 1)
    yield from readings(decoded, depth + 1)


def _decoded(data: bytes) -> Iterator[bytes]:
    for text in _BASE64.findall(data):
        whole = text[: len(text) // 4 * 4]
        try:
            yield base64.b64decode(whole.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
        except binascii.Error:  # pragma: no cover - of these letters, in fours, everything can be decoded
            continue


def _texts_of_json(data: bytes) -> bytes:
    if data.lstrip()[:1] not in {b"{", b"[", b'"'} or len(data) > _JSON_BYTES:
        return b""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return b""
    return b"\n".join(text.encode(errors="surrogatepass") for text in _texts(found))


def _texts(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            left += [*each.values(), *each]
        elif isinstance(each, list):
            left += each
        elif isinstance(each, str):
            yield each
