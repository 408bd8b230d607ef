"""What is signed of a message, and how: HMAC-SHA256 over canonical JSON.

Signed are the task's name and id, what the action is called with, the caller's name, the time at which the signature
ends, and what Celery is to run afterwards (callbacks, errbacks, chain, chord). Not signed is how the message travels:
queue, priority, eta, expiry, time limits, and texts for events.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from kombu.utils.json import dumps, loads

from attune_tasks._celery.calls import read_call
from attune_tasks.errors import MessageRefusedError

__all__ = ["SIGNATURE_HEADER", "Message", "sign", "verify"]

SIGNATURE_HEADER: Final = "attune_signature"

_DOMAIN: Final = b"attune_tasks message, version 1\n"
_VERSION: Final = "1"
_AFTERWARDS: Final = ("callbacks", "chain", "chord", "errbacks")
_ACTION: Final = "attune_tasks.run_action"
_DIGITS: Final = 12
"""Of the time, in seconds since 1970."""
_UNREADABLE: Final = (TypeError, ValueError, KeyError, RecursionError)
"""What strangers' arguments raise while they are put in order."""


class Message(NamedTuple):
    """The parts of a task message that a signature covers."""

    task: str
    task_id: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    afterwards: Mapping[str, Any]
    """Celery's ``callbacks``, ``errbacks``, ``chain`` and ``chord``; other keys do not count."""
    caller: Any

    def received(self) -> Message:
        """Give the message as it is after its way through JSON. Raises TypeError or ValueError for what has none."""
        args, kwargs, afterwards = loads(dumps([self.args, self.kwargs, dict(self.afterwards)]))
        return self._replace(args=args, kwargs=kwargs, afterwards=afterwards)

    def canonical(self, ends: int) -> bytes:
        """Give the one text that stands for it: JSON in ASCII, keys sorted, no spaces."""
        if self.task == _ACTION:
            call = read_call(self.args, self.kwargs)
            called: Any = {
                "ref": call.ref,
                "parameters": call.parameters or {},
                "env": call.env or {},
                "timeout": call.timeout,
            }
        else:
            called = {"args": self.args, "kwargs": self.kwargs}
        document = {
            "task": self.task,
            "task_id": self.task_id,
            "call": called,
            "caller": self.caller,
            "ends": ends,
            "afterwards": {name: self.afterwards.get(name) or None for name in _AFTERWARDS},
        }
        return dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def sign(message: Message, key: bytes, ends: float) -> str | None:
    """Give the header for a message that is about to be sent, good until `ends`, in seconds since 1970.

    None where the message is none that a worker could run: its arguments do not fit, or are no JSON.
    """
    whole = int(ends) + 1
    try:
        return f"{_VERSION}:{whole}:{_mac(message.received(), key, whole)}"
    except _UNREADABLE:
        return None


def verify(message: Message, keys: Sequence[bytes], header: object) -> None:
    """Raise MessageRefusedError unless `header` is a signature of `message` by one of `keys` that has not ended."""
    if header is None:
        _refuse("it is not signed. Who sends to this worker needs the same message_key_file")
    version, _, rest = header.partition(":") if isinstance(header, str) else ("", "", "")
    ends_text, _, given = rest.partition(":")
    if version != _VERSION or not (ends_text.isascii() and ends_text.isdigit() and len(ends_text) <= _DIGITS):
        _refuse("its signature is of no form that is known here")
    ends = int(ends_text)
    try:
        right = [hmac.compare_digest(_mac(message, key, ends), given.encode().decode("ascii")) for key in keys]
    except _UNREADABLE:
        right = []
    if not any(right):
        _refuse("its signature does not fit: it was altered on its way, or signed with a key that is not known here")
    if time.time() > ends:
        when = datetime.fromtimestamp(ends, UTC).isoformat(timespec="seconds")
        _refuse(f"its signature ended at {when}: enqueue it again, or set a longer message_lifetime where it is sent")


def _mac(message: Message, key: bytes, ends: int) -> str:
    return hmac.digest(key, _DOMAIN + message.canonical(ends), "sha256").hex()


def _refuse(why: str) -> None:
    msg = f"the message was refused, and nothing was run: {why}"
    raise MessageRefusedError(msg)
