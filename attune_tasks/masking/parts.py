"""What of a value is a secret in itself: the whole, each of its lines, and where it is JSON, each text in it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from attune_tasks.masking.maskable import is_maskable

__all__ = ["parts_of"]


def parts_of(value: str) -> Iterator[str]:
    """Give the parts of `value` that are masked, the whole first; one may come twice."""
    yield from _lines_of(value)
    if value.startswith(("{", "[")):  # a secret taken whole, as JSON: an action uses its parts
        for text in _texts_in(value):
            yield from _lines_of(text)


def _lines_of(text: str) -> Iterator[str]:
    if is_maskable(text):
        yield text
    if "\n" in text:
        for line in text.split("\n"):
            bare = line.strip("\r")
            if is_maskable(bare):
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
