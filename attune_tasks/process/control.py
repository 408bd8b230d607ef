"""The control channel: JSON lines by which a child says its result, and how far it is. See docs/wire-protocol.md.

A child can write anything here. It can forge its own result and nothing else: lines are limited in length, values in
depth, and whatever is not a message is counted and ignored.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NamedTuple

__all__ = [
    "MAX_DEPTH",
    "MAX_ERROR_CHARACTERS",
    "MAX_LINE_BYTES",
    "MAX_MASK_CHARACTERS",
    "MAX_PROGRESS_CHARACTERS",
    "Control",
    "Progress",
    "fault_of",
]

MAX_LINE_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_ERROR_CHARACTERS: Final = 1 << 16
"""Of an error's text. One of this length was cut, here or in the child, and may end in the midst of a secret."""
MAX_PROGRESS_CHARACTERS: Final = 512
"""Of a message on progress. One of this length was cut, here or in the child, and may end in the midst of a secret."""
MAX_MASK_CHARACTERS: Final = 1 << 16
"""Of a value that is to be masked."""
_RESULT: Final = b'{"type":"result"'
_MASK: Final = b'{"type":"mask"'
_PROGRESS: Final = b'{"type":"progress"'


class Progress(NamedTuple):
    """How far a child says that it is."""

    percent: float
    """0 to 100, with one decimal."""
    message: str = ""
    """Not masked yet, unless it comes in a batch."""


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
        self._progress: Progress | None = None
        self._masks: list[str] = []
        self.result_fault: str | None = None
        """Why the last result was refused: ``result_too_large``, ``result_too_deep`` or ``result_not_json``."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes. The last message of a kind counts."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            if not (self._pending or self._skipping or line.startswith(b"{")):
                self.ignored += 1  # at once: a child may write millions of them
                continue
            self._take(line)
            if not self._skipping:
                self._message(bytes(self._pending))
            self._pending.clear()
            self._skipping = False
        self._take(rest)

    def take_progress(self) -> Progress | None:
        """Give the last word on progress, once; None where there is nothing new."""
        progress, self._progress = self._progress, None
        return progress

    def take_masks(self) -> list[str]:
        """Give the values that the child wants masked, each once; the empty text in place of one that is too long."""
        masks, self._masks = self._masks, []
        return masks

    def _take(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._pending) + len(piece) > MAX_LINE_BYTES:
            begun = bytes(self._pending[: len(_PROGRESS)]) or piece
            self._pending.clear()
            self._skipping = True
            self.ignored += 1
            if begun.startswith(_MASK):
                self._masks.append("")
            elif not begun.startswith(_PROGRESS):
                self._refuse_result("result_too_large")
        else:
            self._pending += piece

    def _message(self, line: bytes) -> None:
        try:
            message = json.loads(_text_of(line))
        except (ValueError, RecursionError):
            message = None
        match message:
            case {"type": "result", "value": value}:
                fault = fault_of(value)
                if fault:
                    self._refuse_result(fault)
                else:
                    self.result, self.has_result, self.result_fault = value, True, None
            case {"type": "error", "error_type": str(kind), "message": str(text)}:
                self.error = {"type": _plain(kind), "message": _plain(text)}
            case {"type": "progress", "percent": int(percent) | float(percent)} if _is_percent(percent, message):
                said = _plain(message.get("message", ""))[:MAX_PROGRESS_CHARACTERS]
                self._progress = Progress(round(float(min(100, max(0, percent))), 1), said)
            case {"type": "mask", "value": str(value)} if _is_text(value):
                self._masks.append(value if len(value) <= MAX_MASK_CHARACTERS else "")
            case _:
                self.ignored += 1
                if line.startswith(_RESULT):
                    self._refuse_result("result_not_json")

    def _refuse_result(self, fault: str) -> None:
        self.result, self.has_result, self.result_fault = None, False, fault


def fault_of(value: Any) -> str | None:
    """Say why a value that a child gave can't be a result: ``result_too_deep`` or ``result_not_json``; None: it can.

    Python's reader takes NaN, infinities and lone surrogates, which other readers of JSON do not.
    """
    if not _depth_within(value, MAX_DEPTH):
        return "result_too_deep"
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # UnicodeEncodeError is one, too
        return "result_not_json"
    return None


def _text_of(line: bytes) -> str | bytes:
    """Give what to read of a line. A shell's text may be in any encoding."""
    if line.startswith(_PROGRESS):
        return line.decode(errors="replace")  # what is broken in it is not worth the message
    if line.startswith(_MASK):
        return line.decode(errors="surrogateescape")  # it is looked for byte by byte
    return line


def _is_text(value: str) -> bool:
    try:
        value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _is_percent(percent: float, message: dict[str, Any]) -> bool:
    text = message.get("message", "")
    is_number = math.isfinite(percent) if isinstance(percent, float) else not isinstance(percent, bool)
    return is_number and isinstance(text, str)


def _plain(text: str) -> str:
    return text[:MAX_ERROR_CHARACTERS].encode(errors="replace").decode()


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
