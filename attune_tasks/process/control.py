"""The control channel: JSON lines by which a child says its result. See docs/wire-protocol.md.

A child can write anything here. It can forge its own result and nothing else: lines are limited in length, values in
depth, and whatever is not a message is counted and ignored.
"""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["MAX_DEPTH", "MAX_ERROR_CHARACTERS", "MAX_LINE_BYTES", "Control"]

MAX_LINE_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_ERROR_CHARACTERS: Final = 1 << 16
"""Of an error's text. One of this length was cut, here or in the child, and may end in the midst of a secret."""


class Control:
    """Reads one child's messages as their bytes come in."""

    def __init__(self) -> None:
        """Begin with no message."""
        self._pending = bytearray()
        self._skipping = False
        self.has_result = False
        self.result: Any = None
        self.error: dict[str, str] | None = None
        self.ignored = 0
        """Lines that were no message."""
        self.too_large = self.too_deep = False
        """Whether a line was longer than :data:`MAX_LINE_BYTES`, a result deeper than :data:`MAX_DEPTH`."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes. The last message of a kind counts."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._take(line)
            if not self._skipping:
                self._message(bytes(self._pending))
            self._pending.clear()
            self._skipping = False
        self._take(rest)

    def _take(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._pending) + len(piece) > MAX_LINE_BYTES:
            self._pending.clear()
            self._skipping = self.too_large = True
            self.ignored += 1
        else:
            self._pending += piece

    def _message(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        match message:
            case {"type": "result", "value": value}:
                self.too_deep = not _depth_within(value, MAX_DEPTH)
                self.result, self.has_result = (None, False) if self.too_deep else (value, True)
            case {"type": "error", "error_type": str(kind), "message": str(text)}:
                self.error = {"type": kind[:MAX_ERROR_CHARACTERS], "message": text[:MAX_ERROR_CHARACTERS]}
            case _:
                self.ignored += 1


def _depth_within(value: object, limit: int) -> bool:
    layer = [value]
    for _ in range(limit):
        layer = [
            child
            for node in layer
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not layer:
            return True
    return False
