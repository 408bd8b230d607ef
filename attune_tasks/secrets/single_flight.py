"""Single flight: callers who want the same thing at once share one call, and nothing is kept after it."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

__all__ = ["SingleFlight"]

_T = TypeVar("_T")
_MORE_TIME: Final = 0.5
"""Seconds."""


class _Flight(Generic[_T]):
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.landed = threading.Event()
        self.results: list[_T] = []
        self.error: Exception | None = None


class SingleFlight(Generic[_T]):
    """Shares a call between the threads that wait for it, and what it raises, too.

    But a failure may be due to the deadline of the one who made the call: who has notably more time makes another.
    """

    def __init__(self) -> None:
        """Begin with nothing in flight."""
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight[_T]] = {}

    def share(self, key: Hashable, call: Callable[[], _T], deadline: float) -> _T:
        """Give what `call` gives, or what one for the same `key` gives that is under way.

        `call` must end by :func:`time.monotonic` `deadline`; one that does not is waited for by nobody else.
        """
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is None or flight.landed.is_set() or flight.deadline <= time.monotonic():
                    flight = self._flights[key] = _Flight(deadline)
                    break
            flight.landed.wait(max(0.0, min(deadline, flight.deadline) - time.monotonic()))
            if flight.results:
                return flight.results[0]
            if flight.error is not None and deadline < flight.deadline + _MORE_TIME:
                raise copy.copy(flight.error)  # each thread its own: raising one writes its traceback into it
            if time.monotonic() >= deadline:
                return call()  # which says that it has no time
        try:
            result = call()
        except Exception as error:
            flight.error = error
            raise
        else:
            flight.results.append(result)
            return result
        finally:
            flight.landed.set()
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
