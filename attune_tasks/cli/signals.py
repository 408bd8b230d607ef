"""The signals by which a person or a service manager asks a command to end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["ENDING", "handled"]

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let `handler` take the signals that ask for an end. One that is ignored (nohup, a job with &) stays so."""
    before = {number: signal.getsignal(number) for number in ENDING}
    mine = [number for number in ENDING if before[number] != signal.SIG_IGN]
    for number in mine:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in mine:
            if signal.getsignal(number) == handler:  # else the handler wants it ignored to the end
                signal.signal(number, before[number])
