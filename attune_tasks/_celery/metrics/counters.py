"""What Prometheus is told: counters and histograms by action, and the launchers at the moment of a scrape.

The label `action` has no other value than the refs of actions that this worker knows: whoever can send messages could
name any number of others, which are counted together. No label has anything of a parameter, a caller or a secret.
"""

from __future__ import annotations

from collections import Counter as CountedOf
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from attune_tasks.result import Status

if TYPE_CHECKING:
    from attune_tasks._celery.launchers_seen import SeenLauncher

__all__ = ["UNKNOWN_ACTION", "Counters"]

UNKNOWN_ACTION: Final = "(unknown)"

_STATUSES: Final = frozenset(get_args(Status))
_DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_PLACES: Final = frozenset({"stdout", "stderr", "result", "error"})


class Counters(Collector):
    """A registry of its own: the application's metrics are another matter."""

    def __init__(self, knows: Callable[[str], bool], launchers: Callable[[], Iterable[SeenLauncher]]) -> None:
        """Count nothing yet. `knows` says whether there is an action; `launchers` gives those that are there."""
        self._knows = knows
        self._launchers = launchers
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "attune_tasks"}
        self._executions = Counter("executions", "Executions that ended.", ("action", "status"), **own)
        self._retries = Counter("retries", "Attempts which another one follows.", ("action",), **own)
        self._durations = Histogram(
            "execution_duration_seconds", "From an action's start to its end.", ("action",), buckets=_DURATIONS, **own
        )
        self._waits = Histogram(
            "queue_wait_seconds",
            "From when an execution was made, or was due, until a slot began with it.",
            ("action",),
            buckets=_DURATIONS,
            **own,
        )
        self._reads = Counter("secret_reads", "Secrets that were asked for.", ("provider", "outcome"), **own)
        self._masked = Counter("masked", "Masks in what actions said.", ("action", "place"), **own)
        self._lost = Counter("lost_figures", "Packets of figures that pool processes could not send.", **own)
        self.registry.register(self)

    def take(self, figures: Mapping[str, Any]) -> None:
        """Count what one execution tells. Raises ValueError, TypeError or KeyError for what no execution tells."""
        ref = str(figures.get("action"))
        action = ref if self._knows(ref) else UNKNOWN_ACTION
        if figures.get("status") in _STATUSES:
            self._executions.labels(action, figures["status"]).inc()
        if figures.get("retries"):
            self._retries.labels(action).inc(figures["retries"])
        if figures.get("seconds") is not None:
            self._durations.labels(action).observe(figures["seconds"])
        if figures.get("waited") is not None:
            self._waits.labels(action).observe(figures["waited"])
        for place, count in (figures.get("masked") or {}).items():
            if place in _PLACES:
                self._masked.labels(action, place).inc(count)
        for provider, outcome, count in figures.get("reads") or ():
            self._reads.labels(provider, outcome).inc(count)
        if figures.get("lost"):
            self._lost.inc(figures["lost"])

    def collect(self) -> Iterator[Any]:
        """Give the launchers that are there now."""
        gauge = GaugeMetricFamily("attune_tasks_launchers", "Launchers of this worker.", labels=("pack", "state"))
        found = CountedOf((each.pack, "busy" if each.busy else "idle") for each in self._launchers())
        for labels, count in sorted(found.items()):
            gauge.add_metric(labels, count)
        yield gauge

    def text(self) -> bytes:
        """Give all of it as Prometheus reads it."""
        return generate_latest(self.registry)
