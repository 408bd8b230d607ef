"""Python actions against the child that people start today, wall and processor time, one and two at once."""

from __future__ import annotations

from benchmarks.measuring import Side, compared
from benchmarks.rows import Row
from benchmarks.workspace import Bench

__all__ = ["forked", "fresh", "preloaded"]

_NAIVE = "subprocess.run([sys.executable, script])"


def forked(bench: Bench) -> list[Row]:
    """Measure a Python action, three secrets, a JSON result."""
    return _rows(bench, ("Python action", "bench.python", "naive.py"), 0.17, (40, 10))


def preloaded(bench: Bench) -> list[Row]:
    """Measure the same with `import requests`, which the pack preloads."""
    pair = ("Python action, requests preloaded", "loaded.python", "naive_requests.py")
    return _rows(bench, pair, 0.05, (40, 3))


def fresh(bench: Bench) -> list[Row]:
    """Measure the same with a fresh interpreter for each execution."""
    return _rows(bench, ("Python action, isolation: exec", "bench.fresh", "naive.py"), 0.65, (10, 10))


def _rows(bench: Bench, pair: tuple[str, str, str], goal: float, calls: tuple[int, int]) -> list[Row]:
    """Measure a pair: the row's name, our action, the naive script. `calls` in a batch are ours and theirs."""
    case, action, script = pair
    if bench.execute(action) != bench.naive_python(script):
        msg = f"{action} and {script} do not do the same"
        raise RuntimeError(msg)
    rows = []
    for at_once in (1, 2):
        ratios = compared(
            lambda: bench.ours(action),
            lambda: Side(lambda: bench.naive_python(script)),
            at_once=at_once,
            batches=8,
            calls=calls,
            renewed_after=bench.renewed_after,
        )
        against = f"{_NAIVE}{' with import requests' if 'requests' in script else ''}"
        rows += [
            Row(f"{case}: {what}, {at_once} at once", against, ratio, goal)
            for what, ratio in (("wall", ratios.wall), ("CPU", ratios.cpu))
        ]
    return rows
