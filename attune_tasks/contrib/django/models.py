"""The record of an execution. It holds what a caller may see: parameters, masked output, references; no secret."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.db import models
from django.utils import timezone

__all__ = ["FINAL", "Execution", "Status"]


class Status(models.TextChoices):
    """How an execution stands."""

    PENDING = "pending", "pending"
    RUNNING = "running", "running"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    TIMED_OUT = "timed_out", "timed out"
    CANCELLED = "cancelled", "cancelled"
    ERROR = "error", "error"


FINAL: Final = frozenset(Status.values) - {"pending", "running"}


class Execution(models.Model):
    """One execution, as far as web process and worker could write it down. The worker never waits for it."""

    execution_id = models.BigIntegerField("execution", unique=True)
    task_id = models.CharField("Celery task", max_length=255, db_index=True)
    action = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict, blank=True, help_text="Secret parameters by their references.")
    env = models.JSONField("variables", default=dict, blank=True, help_text="Those that the caller set.")
    timeout = models.FloatField(null=True, blank=True, help_text="Seconds, as the caller shortened it.")
    caller = models.CharField(max_length=200, blank=True, help_text="Who asked for it, by the message's own word.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    attempt = models.PositiveIntegerField(default=1)
    enqueued_at = models.DateTimeField("enqueued", default=timezone.now, db_index=True)
    started_at = models.DateTimeField("started", null=True, blank=True)
    finished_at = models.DateTimeField("finished", null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)
    stdout = models.TextField(blank=True, help_text="The end of it, masked.")
    stderr = models.TextField(blank=True, help_text="The end of it, masked.")
    error = models.JSONField(null=True, blank=True)
    receipts = models.JSONField(default=list, blank=True, help_text="Where each secret came from.")

    class Meta:
        """No more than Django needs to be told."""

        ordering = ("-enqueued_at", "-pk")
        default_permissions = ("view", "delete")
        permissions = (
            ("run:*", "Can run any action"),
            ("cancel_execution", "Can cancel executions"),
            ("check_secrets", "Can look whether secrets are there"),
        )
        indexes = (
            models.Index(fields=["status", "-enqueued_at"], name="attune_tasks_status"),
            models.Index(fields=["action", "-enqueued_at"], name="attune_tasks_action"),
        )

    def __str__(self) -> str:
        """Name it."""
        return f"{self.action} {self.execution_id}"

    @property
    def has_ended(self) -> bool:
        """Whether its status is final."""
        return self.status in FINAL

    @property
    def duration_ms(self) -> int | None:
        """How long it ran; None where it has not, or not to its end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0, round((self.finished_at - self.started_at).total_seconds() * 1000))

    def to_dict(self) -> dict[str, Any]:
        """Give what the JSON views say of it, but for its output."""
        times = {name: getattr(self, name) for name in ("enqueued_at", "started_at", "finished_at")}
        return {
            "execution_id": str(self.execution_id),
            "task_id": self.task_id,
            "action": self.action,
            "status": self.status,
            "attempt": self.attempt,
            **{name: value.isoformat() if value else None for name, value in times.items()},
            "duration_ms": self.duration_ms,
            "exit_code": self.exit_code,
            "result": self.result,
            "error": self.error,
            "parameters": self.parameters,
        }
