"""The surfaces "broker keys" and "backend keys": what stands there now, looked at while executions run and at the end.

Where it stands, a source knows (`redis_keys`, `folder_keys`); here is how often it is looked at, and for how long.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from attune_tasks._celery.leaks.base import CelerySurface
from attune_tasks._celery.leaks.in_time import in_time, say
from attune_tasks.leaks import Row, Seeker, Watched

__all__ = ["KeySource", "KeysSurface", "Place"]

_SWEEP_SECONDS: Final = 1.0
"""How often all that is ours is looked at while something runs; what is the executions' own, at each look."""
_OPEN_SECONDS: Final = 8.0
_LOOK_BOUND: Final = 0.25
_END_BOUND: Final = 5.0
_BYTES: Final = 64 << 20
_EXTENT_SECONDS: Final = 1.0
_FAILURES: Final = 3


class Place(NamedTuple):
    """One thing that stands somewhere."""

    where: str
    data: bytes
    is_cut: bool = False
    """Whether there is more of it that is not read."""


class KeySource(Protocol):
    """Where keys stand."""

    def open(self) -> None:
        """Make ready. Raises what a client raises."""

    def close(self) -> None:
        """Give back what was opened. It may be asked no more."""

    def read(self, executions: Sequence[Watched], sweep: float) -> Iterator[Place]:
        """Give what is the executions' own, and then, looking for it for `sweep` seconds, all that is the app's.

        0: not at all. Raises what a client raises.
        """

    def extent(self) -> str:
        """Say how much stands there in all: ``400 entries of 6 keys``. Raises what a client raises."""


class KeysSurface(CelerySurface):
    """What stands in a broker or a backend."""

    def __init__(self, name: str, seeker: Seeker, source: KeySource | None, why_not: str = "") -> None:
        """Look at `source`; None: at nothing, because of `why_not`, which else says what it does not see."""
        super().__init__(name, seeker)
        self._source = source
        self._why_not = why_not
        self._swept = 0.0
        self._failures = 0
        self._has_read = False

    def begin(self) -> None:
        """Make the source ready."""
        if self._source is None:
            self._not_looked_at(self._why_not)
            return
        if self._why_not:
            self._partly(self._why_not)
        try:
            in_time(self._source.open, _OPEN_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever a client raises: its text may quote the URL
            self._source = None
            self._not_looked_at(f"the server can't be asked ({say(error)}): see `attune-tasks doctor`")

    def look(self, executions: Sequence[Watched]) -> None:
        """Look at what is the executions' own, and each second at all that is the app's."""
        now = time.monotonic()
        sweeps = now - self._swept >= _SWEEP_SECONDS
        if sweeps:
            self._swept = now
        self._read(executions, _LOOK_BOUND / 2 if sweeps else 0, _LOOK_BOUND)

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Look at all of it once more."""
        self._failures = 0  # it may have come back
        for what in self._read(executions, _END_BOUND / 2, _END_BOUND):
            self._partly(what)
        if self._source is not None and not self._has_read:
            self._not_looked_at("the server did not answer: see `attune-tasks doctor`")
        if self._source is not None:
            self._source.close()
        return super().end(executions)

    def _read(self, executions: Sequence[Watched], sweep: float, seconds: float) -> list[str]:
        """Search; give what was not seen for want of time or because it was too much."""
        unseen: list[str] = []
        if self._source is None or self._failures >= _FAILURES:
            return unseen
        deadline = time.monotonic() + seconds
        left = _BYTES
        try:
            for number, place in enumerate(self._source.read(executions, sweep), 1):
                self._has_read = True
                self._search(place.data, place.where)
                if place.is_cut:
                    unseen.append(f"{place.where}: there is more than is looked at")
                left -= len(place.data)
                if left < 0 or time.monotonic() > deadline:
                    why = f"the {_BYTES >> 20} MiB for one look" if left < 0 else f"the {seconds:g} s for one look"
                    unseen.append(
                        f"{number} entries ({_BYTES - left >> 10} KiB) were looked at, of {self._extent()}, then {why}"
                        " were used up"
                    )
                    break
        except Exception as error:  # noqa: BLE001 - as above
            self._failures += 1
            self._partly(f"a look failed ({say(error)})")
        else:
            self._has_read = True
        return unseen

    def _extent(self) -> str:
        try:
            return in_time(self._source.extent, _EXTENT_SECONDS) if self._source is not None else ""
        except Exception:  # noqa: BLE001 - as above; it is of no weight
            return "how many, the server did not say in time"
