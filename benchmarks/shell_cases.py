"""Shell actions against the bash call that people write today; a long secret; many of them at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from attune_tasks.runtimes import ShellRuntime
from benchmarks.measuring import Cost, Side, compared
from benchmarks.rows import Row
from benchmarks.workspace import Bench

__all__ = ["long_secret", "paced", "plain", "slots", "with_secrets"]

_NAIVE = 'subprocess.run(["bash", script])'
_LONG = 1 << 20
_PAUSE_SECONDS = 0.003
_SLEEP_SECONDS = 0.2
_SLOTS = 16


def plain(bench: Bench) -> list[Row]:
    """Measure a shell action without secrets."""
    return _rows(bench, "shell action, no secrets", ("bench.plain", "plain.sh"), 1.25)


def with_secrets(bench: Bench) -> list[Row]:
    """Measure a shell action that gets three secrets."""
    return _rows(bench, "shell action, three secrets", ("bench.shell", "naive.sh"), 1.5)


def paced(bench: Bench) -> list[Row]:
    """Measure both with a pause before each call, as Celery takes it between two tasks."""
    rows = []
    for case, pair in (("no secrets", ("bench.plain", "plain.sh")), ("three secrets", ("bench.shell", "naive.sh"))):
        ratios = _ratios(bench, pair, _PAUSE_SECONDS)
        rows.append(Row(f"shell action, {case}, 3 ms after the last: wall", _NAIVE, ratios.wall, 1.0))
    return rows


def _rows(bench: Bench, case: str, pair: tuple[str, str], goal: float) -> list[Row]:
    """Measure a pair, our action and the naive script. CPU has no goal: it tells noise from cost where wall misses."""
    ratios = _ratios(bench, pair)
    return [Row(f"{case}: wall", _NAIVE, ratios.wall, goal), Row(f"{case}: CPU", _NAIVE, ratios.cpu, None)]


def _ratios(bench: Bench, pair: tuple[str, str], pause: float = 0.0) -> Cost:
    action, script = pair
    return compared(
        lambda: bench.ours(action, pause),
        lambda: Side(lambda: bench.naive_shell(script), pause=pause),
        at_once=1,
        batches=12,
        calls=(40, 40),
        renewed_after=bench.renewed_after,
    )


def long_secret(bench: Bench) -> list[Row]:  # noqa: ARG001 - the shape of a case
    """Measure the seconds for a whole shell action with a secret of 1 MiB, against half a second."""
    value = ('0123456789abcdef "\\\\\\n' * _LONG)[:_LONG]
    taken = []
    for _ in range(7):
        started = time.perf_counter()
        result = ShellRuntime().execute_shell_code("get_secret -v value big; echo ${#value}", {"big": value})
        taken.append(time.perf_counter() - started)
        if result.stdout != f"{_LONG}\n":
            raise RuntimeError(result.stderr)
    return [Row("shell action, a secret of 1 MiB", "0.5 s", median(taken) / 0.5, 1.0)]


def slots(bench: Bench) -> list[Row]:
    """Measure how many `sleep 0.2` get done by one thread and by 16, against what costs nothing but its time."""

    def throughput(threads: int) -> float:
        executions = threads * 8
        with ThreadPoolExecutor(threads) as pool:
            started = time.perf_counter()
            list(pool.map(lambda _: bench.execute("bench.sleep"), range(executions)))
            return executions / (time.perf_counter() - started)

    throughput(_SLOTS)  # starts the launchers
    measured: dict[int, list[float]] = {1: [], _SLOTS: []}
    for _ in range(4):
        for threads, found in measured.items():
            found.append(throughput(threads))
    ratio = median(measured[_SLOTS]) / (_SLOTS / _SLEEP_SECONDS)
    gained = median(measured[_SLOTS]) / (_SLOTS * median(measured[1]))
    return [
        Row(f"sleep 0.2 in {_SLOTS} slots, executions a second (at least)", "80 a second", ratio, 0.9, at_least=True),
        Row(f"sleep 0.2, from 1 to {_SLOTS} slots: gain (at least)", f"{_SLOTS} times", gained, 0.9, at_least=True),
    ]
