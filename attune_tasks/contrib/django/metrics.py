"""The recorded executions as Prometheus reads them: what the database knows, whichever worker it happened in.

They are gauges, for records are pruned; what a worker counts since its start it serves itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, DurationField, ExpressionWrapper, F, Min, Sum
from django.db.models.fields.json import KT
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from attune_tasks._celery.enqueueing import app_or_default
from attune_tasks._celery.per_app import state_of
from attune_tasks.contrib.django.answering import refused, signed_in
from attune_tasks.contrib.django.models import Execution, Status
from attune_tasks.contrib.django.permissions import may_view_all

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["metrics_view", "recorded"]

_OPEN: Final = (Status.PENDING, Status.RUNNING)
_CODE: Final = re.compile(r"[a-z][a-z_]{1,39}")
"""What our own errors are called; the rest are Celery's and a stranger's, which go together."""
_OTHER_ERROR: Final = "(other)"


@never_cache
@require_GET
@signed_in
def metrics_view(_request: HttpRequest, user: Any) -> HttpResponse:
    """Give them to who may see every execution; 501 without the extra ``metrics``."""
    if not may_view_all(user):
        return refused(403, "not_allowed", "you may not see all executions")
    if find_spec("prometheus_client") is None:
        return refused(501, "not_installed", "install what metrics need: pip install 'attune-tasks[metrics]'")
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Recorded(Collector):
        def collect(self) -> Iterator[Metric]:
            registry = state_of(app_or_default(None)).registry
            return recorded(lambda ref: ref in registry)

    own = CollectorRegistry(auto_describe=False)
    own.register(Recorded())
    return HttpResponse(generate_latest(own), content_type=CONTENT_TYPE_LATEST)


def recorded(knows: Callable[[str], bool]) -> Iterator[Metric]:
    """Give the metrics; actions that `knows` denies go together, for a stranger's message may name any number."""
    from attune_tasks._celery.metrics.counters import UNKNOWN_ACTION

    executions: Counter[tuple[str, str]] = Counter()
    oldest: dict[tuple[str, str], float] = {}
    seconds: Counter[tuple[str, str]] = Counter()
    ran = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    grouped = Execution.objects.order_by().values("action", "status")
    now = timezone.now()
    for row in grouped.annotate(count=Count("pk"), ran=Sum(ran), first=Min("enqueued_at"), begun=Min("started_at")):
        labels = row["action"] if knows(row["action"]) else UNKNOWN_ACTION, row["status"]
        executions[labels] += row["count"]
        if row["status"] in _OPEN:
            since = row["begun"] if row["status"] == Status.RUNNING and row["begun"] else row["first"]
            oldest[labels] = max(oldest.get(labels, 0.0), (now - since).total_seconds())
        elif row["ran"] is not None:
            seconds[labels] += row["ran"].total_seconds()
    for name, told, values in (
        ("executions", "Executions that are recorded.", executions),
        ("oldest_seconds", "How long the one that waits or runs longest has done so.", oldest),
        ("duration_seconds", "For how long those that ended have run, together.", seconds),
    ):
        yield _gauge(name, told, ("action", "status"), values)
    errors: Counter[tuple[str, str]] = Counter()
    in_error = Execution.objects.order_by().filter(status=Status.ERROR).annotate(kind=KT("error__type"))
    for row in in_error.values("action", "kind").annotate(count=Count("pk")):
        kind = str(row["kind"])
        labels = (
            row["action"] if knows(row["action"]) else UNKNOWN_ACTION,
            kind if _CODE.fullmatch(kind) else _OTHER_ERROR,
        )
        errors[labels] += row["count"]
    yield _gauge("errors", "Records that ended as error, by its type.", ("action", "error"), errors)


def _gauge(name: str, told: str, names: tuple[str, str], values: Mapping[tuple[str, str], float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"attune_tasks_recorded_{name}", told, labels=names)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family
