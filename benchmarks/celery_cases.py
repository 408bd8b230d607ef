"""Actions through a real worker: from enqueue to result against tasks that call the child; memory over 10,000."""

from __future__ import annotations

from contextlib import suppress
from statistics import median
from typing import Any

from celery import Celery

from attune_tasks import enqueue
from benchmarks.measuring import interleaved
from benchmarks.memory import bytes_of
from benchmarks.redis_round_trips import counted_round_trips
from benchmarks.redis_worker import redis_worker
from benchmarks.rows import Row
from benchmarks.workspace import MONTH, Bench
from tests.processes import children

__all__ = ["claims", "end_to_end", "ten_thousand"]

_SECONDS = 30
_EXECUTIONS = 10_000
_THOUSAND = 1000
_WAITING = 40
"""Executions that wait in the queue, so that the worker always has the next one."""


def end_to_end(bench: Bench) -> list[Row]:
    """Measure enqueue to result of a Python and of a shell action against a task that calls the child itself."""
    with redis_worker(bench) as (app, _):

        def naive(task: str) -> Any:
            return app.signature(f"bench_project.{task}", (MONTH["month"],)).apply_async().get(_SECONDS)

        if _ours(app, "bench.python") != naive("naive_python"):
            msg = "the action and the naive task do not do the same"
            raise RuntimeError(msg)
        python = interleaved(lambda: _ours(app, "bench.python"), lambda: naive("naive_python"), 150)
        shell = interleaved(lambda: _ours(app, "bench.shell"), lambda: naive("naive_shell"), 400)
    against = "a Celery task: subprocess.run"
    return [
        Row("Python action end to end by Celery, Redis", f"{against}([sys.executable, script])", python, 0.35),
        Row("shell action end to end by Celery, Redis", f'{against}(["bash", script])', shell, 1.15),
    ]


def claims(bench: Bench) -> list[Row]:
    """Measure what claims and live output add to enqueue to result, and how often an execution waits for Redis."""
    off = {"claims": {"enabled": False}, "live": {"enabled": False}}
    with redis_worker(bench) as (app, _), redis_worker(bench, off) as (without, _):
        ratio = interleaved(lambda: _ours(app, "bench.telling"), lambda: _ours(without, "bench.telling"), 200)
        trips = {each: _round_trips(each) for each in (app, without)}
    return [
        Row("Python action end to end, with claims and live output", "without", ratio, None),
        Row("Redis round trips for an execution, with claims", "one", trips[app], None),
        Row("Redis round trips for an execution, without", "one", trips[without], None),
    ]


def _round_trips(app: Celery) -> float:
    """Give those of client and worker together, from enqueue to result."""
    count = 50
    with counted_round_trips(str(app.conf.broker_url)) as counts:
        for _ in range(count):
            _ours(app, "bench.telling")
    return sum(counts.values()) / count


def ten_thousand(bench: Bench) -> list[Row]:
    """Measure the worker's processes and launchers, which are renewed as ever, in the last and the first thousand."""
    samples: list[int] = []
    with redis_worker(bench) as (app, worker):
        waiting: list[Any] = []
        for _ in range(_EXECUTIONS // _WAITING):
            begun = [enqueue("bench.python", MONTH, app=app) for _ in range(_WAITING)]
            _results(waiting)
            waiting = begun
            with suppress(FileNotFoundError, ProcessLookupError):  # a launcher was just replaced: one sample less
                samples.append(_memory_of(worker))
        _results(waiting)
    in_a_thousand = _THOUSAND // _WAITING
    ratio = median(samples[-in_a_thousand:]) / median(samples[:in_a_thousand])
    return [Row("memory of worker and launchers, 10,000 executions", "their first thousand", ratio, 1.02)]


def _ours(app: Celery, action: str) -> Any:
    return _succeeded(enqueue(action, MONTH, app=app).result(_SECONDS))


def _results(handles: list[Any]) -> None:
    for handle in handles:
        _succeeded(handle.result(_SECONDS))


def _succeeded(result: Any) -> Any:
    if not result.succeeded:
        raise RuntimeError(result.error)
    return result.result


def _memory_of(worker: int) -> int:
    """Give the bytes of a worker's main and pool processes and of their launchers, but not of what these run."""
    processes = [worker, *children(worker)]
    launchers = [child for process in processes[1:] for child in children(process)]
    return sum(bytes_of(pid, "Rss") for pid in (*processes, *launchers))
