"""The memory of a launcher that waits for the next execution."""

from __future__ import annotations

import os
import time

from benchmarks.memory import bytes_of, is_launcher
from benchmarks.rows import Row
from benchmarks.workspace import Bench
from tests.processes import children

__all__ = ["idle_launcher"]

_LAUNCHER_MIB = 8
_IDLE_SECONDS = 2.0


def idle_launcher(bench: Bench) -> list[Row]:
    """Measure the private memory of a launcher without preload that has run actions and waits for the next."""
    for action in ("bench.python", "bench.shell") * 5:
        bench.execute(action)
    time.sleep(_IDLE_SECONDS)  # by then it has removed its private folder, and does nothing any more
    (launcher,) = filter(is_launcher, children(os.getpid()))
    private = bytes_of(launcher, "Private_Clean", "Private_Dirty")
    return [Row("an idle launcher's private memory", f"{_LAUNCHER_MIB} MiB", private / (_LAUNCHER_MIB << 20), 1.0)]
