"""Writing a record. Web process and worker write it in whatever order: each of these may come first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, router, transaction
from django.utils import timezone

from attune_tasks._celery.capturing import Enqueued
from attune_tasks._celery.observing import Begun
from attune_tasks.contrib.django.models import FINAL, Execution, Status
from attune_tasks.contrib.django.options import django_options
from attune_tasks.contrib.django.recordable import (
    blanked,
    clean_json,
    clean_text,
    clean_time,
    known_action,
    shown_parameters,
    tail,
)
from attune_tasks.errors import SecretExposedError
from attune_tasks.ids import task_id_of

__all__ = ["database_alias", "record_begun", "record_ended", "record_enqueued"]


def database_alias() -> str:
    """Name the database that the records are in."""
    alias: str = router.db_for_write(Execution)
    return alias


def record_enqueued(app: Any, sent: Enqueued, user: Any = None) -> None:
    """Write down that a message was sent, and by whom. Raises what the database raises."""
    action = known_action(app, sent.action_ref)
    told = {"caller": clean_text(sent.caller)[:200], "enqueued_at": timezone.now()}
    if user is not None:
        told["user"] = user
    asked = {
        "task_id": sent.task_id,
        "action": clean_text(sent.action_ref),
        "parameters": shown_parameters(action, sent.parameters),
        "env": clean_json(sent.env) if action else blanked(sent.env),
        "timeout": sent.timeout,
    }
    # The worker may have been quicker; it knows the action better, and how it stands.
    _write(sent.execution_id, told, only_new=asked)


def record_begun(app: Any, begun: Begun) -> None:
    """Write down that an attempt has begun."""
    action = known_action(app, begun.action_ref)
    told = {
        "task_id": begun.task_id,
        "action": clean_text(begun.action_ref),
        "parameters": shown_parameters(action, begun.parameters),
        "env": clean_json(begun.env) if action else blanked(begun.env),
        "timeout": begun.timeout,
        "status": Status.RUNNING,
        "attempt": begun.attempt,
        "started_at": clean_time(begun.at),
    }
    _write(begun.execution_id, told, only_new={"caller": clean_text(begun.caller)[:200]}, unless_ended=True)


def record_ended(data: Mapping[str, Any], task_id: str | None = None) -> None:
    """Write down a final end, from what ``ExecutionResult.to_dict()`` gives."""
    execution_id = int(data["execution_id"])
    size = django_options().output_bytes
    error = data.get("error")
    told = {
        "status": data["status"],
        "attempt": data.get("attempt") or 1,
        "finished_at": clean_time(data.get("finished_at")) or timezone.now(),
        "exit_code": data.get("exit_code"),
        "result": clean_json(data.get("result")),
        "stdout": tail(data.get("stdout", ""), size),
        "stderr": tail(data.get("stderr", ""), size),
        "error": clean_json(error),
        "receipts": clean_json(data.get("receipts") or []),
    }
    if data.get("started_at"):
        told["started_at"] = clean_time(data["started_at"])
    asked = {"task_id": task_id or task_id_of(execution_id), "action": clean_text(str(data["action_ref"]))}
    _write(execution_id, told, only_new=asked)
    if error and error.get("type") == SecretExposedError.code:
        _take_back(execution_id)


def _take_back(execution_id: int) -> None:
    """Blank what the caller gave: the guard has found a secret in it."""
    for execution in Execution.objects.using(database_alias()).filter(execution_id=execution_id):
        execution.parameters, execution.env = blanked(execution.parameters), blanked(execution.env)
        execution.caller = ""
        execution.save(update_fields=["parameters", "env", "caller"])


def _write(
    execution_id: int, told: Mapping[str, Any], *, only_new: Mapping[str, Any], unless_ended: bool = False
) -> None:
    alias = database_alias()
    row = Execution.objects.using(alias).filter(execution_id=execution_id)
    open_row = row.exclude(status__in=FINAL) if unless_ended else row
    if open_row.update(**told) or (unless_ended and row.exists()):
        return
    try:
        with transaction.atomic(using=alias):  # within a caller's transaction, which must live on
            Execution.objects.using(alias).create(execution_id=execution_id, **only_new, **told)
    except IntegrityError:  # the other side was quicker
        open_row.update(**told)
