"""Looking after records: ends that nobody wrote down are taken from the result backend, old records are deleted."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any, Final

from django.utils import timezone

from attune_tasks import Handle
from attune_tasks.contrib.django.models import FINAL, Execution, Status
from attune_tasks.contrib.django.options import django_options
from attune_tasks.contrib.django.recording import database_alias, record_ended

__all__ = ["look_after", "prune", "refresh", "refresh_unfinished"]

logger: Final = logging.getLogger("attune_tasks.django")

_UNFINISHED_SECONDS: Final = 30.0
_AT_ONCE: Final = 50
_BATCH: Final = 1000
_LOOK_SECONDS: Final = 60.0
_PRUNE_SECONDS: Final = 3600.0
_PRUNED_AT_ONCE: Final = 5000
_last: Final[dict[str, float]] = {}


def refresh(execution: Execution, app: Any = None) -> Execution:
    """Give the record as the result backend has it by now, where its end was not written down.

    What the backend's client raises is logged by its class, and the record stays as it is.
    """
    if execution.has_ended:
        return execution
    try:
        handle = Handle.from_task_id(execution.task_id, app)
        status = handle.status()
        data = handle.result(0).to_dict() if status in FINAL else None
    except Exception as error:  # noqa: BLE001 - the client's own, whose text may quote the URL
        logger.warning("execution %s can't be looked up: %s", execution.execution_id, type(error).__name__)
        return execution
    if data is not None:
        # Told by Celery alone, it has neither the id of the execution nor its action.
        own = {"execution_id": str(execution.execution_id), "action_ref": execution.action}
        record_ended({**data, **own}, execution.task_id)
    elif status == "running" and execution.status == "pending":
        rows = Execution.objects.using(database_alias()).filter(pk=execution.pk, status=Status.PENDING)
        rows.update(status=Status.RUNNING)
    else:
        return execution
    execution.refresh_from_db()
    return execution


def refresh_unfinished(app: Any = None) -> int:
    """Refresh records that have been without an end for half a minute, some at a time; give how many have one now."""
    before = timezone.now() - timedelta(seconds=_UNFINISHED_SECONDS)
    unfinished = Execution.objects.using(database_alias()).exclude(status__in=FINAL).filter(enqueued_at__lt=before)
    return sum(refresh(each, app).has_ended for each in unfinished.order_by("?")[:_AT_ONCE])


def prune(older_than: timedelta, at_most: int | None = None) -> int:
    """Delete the records of executions that were enqueued before then and have ended; give their number.

    One without an end stays for ten times as long: by then no backend knows of it. `at_most` bounds how many are
    deleted, in thousands rounded up.
    """
    rows = Execution.objects.using(database_alias())
    now = timezone.now()
    old = rows.filter(enqueued_at__lt=now - older_than, status__in=FINAL)
    abandoned = rows.filter(enqueued_at__lt=now - 10 * older_than)
    count = 0
    for found in (old, abandoned):
        oldest = found.order_by("enqueued_at").values_list("pk", flat=True)[:_BATCH]
        while (at_most is None or count < at_most) and (some := list(oldest.all())):
            count += rows.filter(pk__in=some).delete()[0]
    return count


def look_after(app: Any) -> None:
    """Do both when it is time, by the thread of a worker that writes; new records wait meanwhile, so not for long."""
    if _is_time("refresh", _LOOK_SECONDS):
        refresh_unfinished(app)
    keep = django_options().keep
    if keep is not None and _is_time("prune", _PRUNE_SECONDS) and prune(keep, _PRUNED_AT_ONCE) >= _PRUNED_AT_ONCE:
        del _last["prune"]  # there is more: go on at the next look


def _is_time(what: str, seconds: float) -> bool:
    now = time.monotonic()
    if now - _last.get(what, -seconds) < seconds:
        return False
    _last[what] = now
    return True
