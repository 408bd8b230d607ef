"""Execution ids and the Celery task ids that go with them.

An execution id is a 63-bit int: 42 bits of milliseconds since 1970, then 21 random bits. Its task id is a UUID of
version 8 (RFC 9562, section 5.8) which holds those 63 bits and 59 bits of their SHA-256, by which our own ids are told
from foreign ones. A foreign task id (beat, canvas, ``send_task``) gets an execution id derived from its SHA-256, so a
redelivered message has the same one.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from functools import lru_cache
from typing import Final

__all__ = ["ID_BITS", "execution_id_of", "ids_of", "made_at", "new_execution_id", "task_id_of"]

ID_BITS: Final = 63
_RANDOM_BITS: Final = 21
_CHECK_BITS: Final = 59


def new_execution_id() -> int:
    """Make an execution id for now."""
    milliseconds = time.time_ns() // 1_000_000
    return (milliseconds & ((1 << 42) - 1)) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)


def task_id_of(execution_id: int) -> str:
    """Give the Celery task id of an execution id.

    Raises ValueError where `execution_id` is not an int of 1 to 2**63 - 1.
    """
    if isinstance(execution_id, bool) or not isinstance(execution_id, int) or not 0 < execution_id < 1 << ID_BITS:
        msg = "an execution id is an int from 1 to 2**63 - 1"
        raise ValueError(msg)
    payload = execution_id << _CHECK_BITS | _check(execution_id)  # 122 bits: 48, then 12, then 62
    number = (payload >> 74) << 80 | 0x8 << 76 | (payload >> 62 & 0xFFF) << 64 | 0b10 << 62 | payload & (1 << 62) - 1
    return str(uuid.UUID(int=number))


@lru_cache(maxsize=1024)  # asked eight times for each execution in a worker
def execution_id_of(task_id: str) -> int:
    """Give the execution id of any Celery task id, ours or foreign; always the same for the same text."""
    own = _embedded(task_id)
    if own is not None:
        return own
    digest = hashlib.sha256(b"attune_tasks foreign task id\0" + task_id.encode()).digest()
    return int.from_bytes(digest[:8]) >> 1 or 1


def made_at(execution_id: int) -> float:
    """Give when an id that :func:`new_execution_id` has made was made: seconds since 1970."""
    return (execution_id >> _RANDOM_BITS) / 1000


def ids_of(text: str) -> tuple[int, str]:
    """Give execution id and task id of what a person typed: the one, in decimal digits, or the other.

    The task id that goes with an execution id is taken for one of ours.
    """
    if text.isascii() and text.isdecimal() and 0 < int(text) < 1 << ID_BITS:
        return int(text), task_id_of(int(text))
    return execution_id_of(text), text


def _check(execution_id: int) -> int:
    digest = hashlib.sha256(b"attune_tasks execution id\0" + execution_id.to_bytes(8)).digest()
    return int.from_bytes(digest[:8]) >> (64 - _CHECK_BITS)


def _embedded(task_id: str) -> int | None:
    try:
        parsed = uuid.UUID(task_id)
    except ValueError:
        return None
    if parsed.version != 8 or str(parsed) != task_id:  # noqa: PLR2004 - RFC 9562's version for own layouts
        return None
    number = parsed.int
    payload = (number >> 80) << 74 | (number >> 64 & 0xFFF) << 62 | number & (1 << 62) - 1
    execution_id = payload >> _CHECK_BITS
    return execution_id if execution_id and payload & (1 << _CHECK_BITS) - 1 == _check(execution_id) else None
