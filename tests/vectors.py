"""The wire's test vectors, as each runtime's tests read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["CARRIED", "REFUSED", "VECTORS", "expected_line"]

VECTORS: Final[dict[str, Any]] = json.loads((Path(__file__).parent / "wire_vectors.json").read_text())
CARRIED: Final[list[dict[str, Any]]] = VECTORS["carried"]
REFUSED: Final[list[dict[str, Any]]] = VECTORS["refused"]


def expected_line(text: str) -> bytes:
    """Pad a vector's text as the wire says, written here a second time on purpose."""
    line = text.encode()
    while (len(line) + 1) % VECTORS["block"]:
        line += b" "
    return line + b"\n"
