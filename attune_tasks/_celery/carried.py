"""What a message carries beside its arguments, as a guard looks at it: others read the broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attune_tasks._celery.callers import CALLER_HEADER
from attune_tasks._celery.claims.claim import CLAIM_HEADER
from attune_tasks._celery.signing import SIGNATURE_HEADER

__all__ = ["carried_by"]

_PARTS: Final = {
    "callbacks": "a link",
    "errbacks": "a link_error",
    "chain": "the rest of the chain",
    "chord": "the chord",
    "shadow": "the header shadow",
    "stamps": "the stamps",
}
_OURS: Final = frozenset({CALLER_HEADER, CLAIM_HEADER, SIGNATURE_HEADER})


def carried_by(request: Any) -> dict[str, Any]:
    """Give what others may have written into the message of a task's `request`, by what an error calls it."""
    carried = {called: value for name, called in _PARTS.items() if (value := getattr(request, name, None))}
    headers = request.headers
    if isinstance(headers, Mapping):
        foreign = {str(name): value for name, value in headers.items() if name not in _OURS}
        if foreign:
            carried["a header"] = foreign
    return carried
