"""Times and processor times of calls, ours and the naive one taken in turn, and their ratios."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["Cost", "Side", "compared", "interleaved"]


@dataclass(frozen=True)
class Side:
    """One of the two that are compared, made anew for each batch."""

    call: Callable[[], Any]
    end: Callable[[], None] = lambda: None
    """Ends what the calls have kept, so that its processor time counts (getrusage(2), RUSAGE_CHILDREN)."""
    pause: float = 0.0
    """Seconds before each call, which do not count."""


@dataclass(frozen=True)
class Cost:
    """Seconds for one call."""

    wall: float
    cpu: float

    def over(self, other: Cost) -> Cost:
        """Give the ratios to another's."""
        return Cost(self.wall / other.wall, self.cpu / other.cpu)


def interleaved(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, *, ours_per_round: int = 1) -> float:
    """Give the ratio of the medians of the seconds of two calls, taken in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for call, times, count in zip((ours, theirs), taken, (ours_per_round, 1), strict=True):
            for _ in range(count):
                started = time.perf_counter()
                call()
                if number:  # the first round warms up
                    times.append(time.perf_counter() - started)
    return median(taken[0]) / median(taken[1])


def compared(  # noqa: PLR0913 - the optional ones are named
    ours: Callable[[], Side],
    theirs: Callable[[], Side],
    *,
    at_once: int,
    batches: int,
    calls: tuple[int, int],
    renewed_after: int,
) -> Cost:
    """Give the ratios of wall and processor time of ours to theirs, in batches by turns, `at_once` in threads.

    Each is the median of the batches' ratios, for which walls are medians, too: two batches in a row have the
    same noise. A batch bears what its calls leave to be done; a single call would leave it to the other side.
    `calls` are those of one thread in a batch: ours, theirs. Each thread's first call, in which ours starts what it
    keeps, counts as the `renewed_after`-th part of what it costs more than the rest, since it comes once in as many.
    """
    ratios: list[Cost] = []
    for number in range(batches + 1):
        our_cost, their_cost = (
            _Batch(make, at_once, count).cost(renewed_after) for make, count in zip((ours, theirs), calls, strict=True)
        )
        if number:  # the first ones warm up
            ratios.append(our_cost.over(their_cost))
    return Cost(median(ratio.wall for ratio in ratios), median(ratio.cpu for ratio in ratios))


class _Batch:
    """What some calls have cost, and what the first of them has."""

    def __init__(self, make: Callable[[], Side], at_once: int, calls: int) -> None:
        first, first_cpu = _measured(make(), at_once, 1)
        all_of_them, cpu = _measured(make(), at_once, calls + 1)
        self.walls = [wall for walls in all_of_them for wall in walls[1:]]
        self.first_walls = [walls[0] for walls in (*first, *all_of_them)]
        self.cpu = (cpu - first_cpu) / (calls * at_once)
        self.first_cpu = first_cpu / at_once

    def cost(self, renewed_after: int) -> Cost:
        """Give what a call costs, with its part of what the first one has cost more."""
        wall, first_wall = median(self.walls), median(self.first_walls)
        return Cost(
            wall + max(0.0, first_wall - wall) / renewed_after,
            self.cpu + max(0.0, self.first_cpu - self.cpu) / renewed_after,
        )


def _measured(side: Side, at_once: int, calls: int) -> tuple[list[list[float]], float]:
    """Give the seconds of each call by thread, and the processor seconds of all, with all that they have started."""
    before = _cpu_seconds()
    walls = _in_threads(side, at_once, calls)
    side.end()
    return walls, _cpu_seconds() - before


def _in_threads(side: Side, at_once: int, calls: int) -> list[list[float]]:
    walls: list[list[float]] = [[] for _ in range(at_once)]
    together = threading.Barrier(at_once)

    def run(mine: list[float]) -> None:
        together.wait()
        for _ in range(calls):
            if side.pause:
                time.sleep(side.pause)
            started = time.perf_counter()
            side.call()
            mine.append(time.perf_counter() - started)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, walls))  # raises what a call raises
    return walls


def _cpu_seconds() -> float:
    """Give the processor seconds of this process, and of its children that have ended, with their children's."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
