"""What a client of Redis raises where the server can't be used for now: gone, stopped, loading, out of memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["insist", "is_outage"]

logger: Final = logging.getLogger("attune_tasks.claims")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0
_Given = TypeVar("_Given")


def is_outage(error: BaseException) -> bool:
    """Say whether a later try may succeed. By the class's family: a client may be without the package `redis`."""
    if isinstance(error, OSError):
        return True
    family = {each.__name__ for each in type(error).mro() if each.__module__.startswith("redis.")}
    return "RedisError" in family and not family & {"NoScriptError", "NoPermissionError", "AuthenticationError"}


def insist(what: Callable[[], _Given], seconds: float, name: str | None = None) -> _Given:
    """Do it, and while the server is out of order, do it again each second; after `seconds` raise what it raised.

    `name`: who waits, for the log; None: nobody is told.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    told = name is None
    while True:
        try:
            given = what()
        except Exception as error:
            if not is_outage(error) or time.monotonic() + pause > deadline:
                raise
            if not told:
                # The class alone: the text may quote the URL.
                logger.warning("%s waits for the shared state to come back: %s", name, type(error).__name__)
                told = True
        else:
            if told and name is not None:
                logger.warning("%s goes on: the shared state is back", name)
            return given
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE, 2 * pause)
