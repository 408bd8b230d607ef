"""100 MB of output of which 1 MiB is kept: the time, and what this process grows by."""

from __future__ import annotations

import resource
import subprocess
import sys

from benchmarks.measuring import interleaved
from benchmarks.rows import Row
from benchmarks.workspace import OUTPUT_MB, Bench

__all__ = ["memory", "seconds"]

_CASE = f"{OUTPUT_MB} MB of output, 1 MiB kept"
_CAP = 1 << 20


def seconds(bench: Bench) -> list[Row]:
    """Measure the time against communicate(), which keeps all."""

    def communicate() -> None:
        command = [sys.executable, str(bench.folder / "loud.py")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            output, _ = child.communicate()
        if len(output) < OUTPUT_MB << 20:
            msg = "communicate() lost output"
            raise RuntimeError(msg)

    return [
        Row(
            f"{_CASE}: time",
            "Popen.communicate()",
            interleaved(lambda: bench.execute("bench.loud"), communicate, 9),
            0.25,
        )
    ]


def memory(bench: Bench) -> list[Row]:
    """Measure the growth of this process's peak, in a process of its own, against the cap and 2 MiB."""
    bench.execute("bench.python")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bench.execute("bench.loud")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return [Row(f"{_CASE}: growth of memory", "the cap and 2 MiB", grown / (_CAP + (2 << 20)), 1.0)]
