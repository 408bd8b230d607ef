"""Who asked for an execution: the header that says so, and what the name is called."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

__all__ = ["CALLER_HEADER", "Caller", "default_caller", "read_caller", "read_header"]

CALLER_HEADER: Final = "attune_caller"


class Caller(NamedTuple):
    """A caller's name, and what it is called in logs and records."""

    label: str
    """``caller`` where the message's signature covers the name, else ``claimed_by``: anybody can write anything."""
    name: object
    """As it came: a stranger's may be no text."""

    @property
    def verified(self) -> bool:
        """Whether the message's signature covers the name."""
        return self.label == "caller"


def read_caller(headers: Mapping[str, Any] | None, *, verified: bool) -> Caller:
    """Read who sent a message, `verified` where its signature was found right."""
    return Caller("caller" if verified else "claimed_by", read_header(headers, CALLER_HEADER) or "unknown")


def read_header(headers: object, name: str) -> Any:
    """Read a header of a request; None where it has none. A stranger's headers may be anything."""
    return headers.get(name) if isinstance(headers, Mapping) else None


@cache
def default_caller() -> str:
    """Say who this process is: ``user@host``."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user is often in no passwd file
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
