"""Whether the memory of a worker and its launchers stays flat."""

from __future__ import annotations

import resource
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Final

from tests.acceptance.left import Seen, below

__all__ = ["Memory"]

_PAGE: Final = resource.getpagesize()
_MIB: Final = 1 << 20
_FEWEST: Final = 8
_CLASSES: Final = ("main process", "pool process", "launcher")
_PART, _MORE = 0.15, 2 * _MIB


class Memory:
    """Samples of the resident memory of one worker that nobody kills: the largest process of each class.

    Flat is where the median of the last quarter of the samples is at most 15 % and 2 MiB above that of the second one:
    the first has imports and caches in it.
    """

    def __init__(self, main: int) -> None:
        """Look at the worker with this main process."""
        self._main = main
        self._samples: dict[str, list[int]] = defaultdict(list)

    def sample(self) -> None:
        """Take one sample of each class that is there."""
        largest: dict[str, int] = {}
        for process in (Seen(self._main, 0.0), *below(Seen(self._main, 0.0))):
            with suppress(OSError, IndexError, ValueError):
                name = Path(f"/proc/{process.pid}/comm").read_text(encoding="utf-8").strip()
                size = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="utf-8").split()[1]) * _PAGE
                command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
                kind = "main process" if process.pid == self._main else "pool process"
                if name == "attune-launcher":
                    kind = "launcher"
                elif b"celery" not in command:
                    continue  # an action
                largest[kind] = max(size, largest.get(kind, 0))
        self.add(largest)

    def add(self, sizes: Mapping[str, int]) -> None:
        """Take bytes by class."""
        for kind, size in sizes.items():
            self._samples[kind].append(size)

    def judged(self) -> dict[str, tuple[float, float, bool]]:
        """Give MiB before and after, and whether that is flat, for each class with enough samples."""
        found = {}
        for kind, sizes in self._samples.items():
            quarter = len(sizes) // 4
            if len(sizes) >= _FEWEST:
                before, after = median(sizes[quarter : 2 * quarter]), median(sizes[-quarter:])
                found[kind] = (before / _MIB, after / _MIB, after <= before * (1 + _PART) + _MORE)
        return found

    def unjudged(self) -> dict[str, int]:
        """Give the classes with too few samples to say, and how many they have."""
        counts = {kind: len(self._samples.get(kind, ())) for kind in _CLASSES}
        return {kind: count for kind, count in counts.items() if count < _FEWEST}
