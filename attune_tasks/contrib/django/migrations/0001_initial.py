"""The table of executions."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Execution",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("execution_id", models.BigIntegerField(unique=True, verbose_name="execution")),
                ("task_id", models.CharField(db_index=True, max_length=255, verbose_name="Celery task")),
                ("action", models.CharField(max_length=200)),
                (
                    "parameters",
                    models.JSONField(blank=True, default=dict, help_text="Secret parameters by their references."),
                ),
                (
                    "env",
                    models.JSONField(
                        blank=True, default=dict, help_text="Those that the caller set.", verbose_name="variables"
                    ),
                ),
                ("timeout", models.FloatField(blank=True, help_text="Seconds, as the caller shortened it.", null=True)),
                (
                    "caller",
                    models.CharField(
                        blank=True, help_text="Who asked for it, by the message's own word.", max_length=200
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("running", "running"),
                            ("succeeded", "succeeded"),
                            ("failed", "failed"),
                            ("timed_out", "timed out"),
                            ("cancelled", "cancelled"),
                            ("error", "error"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("attempt", models.PositiveIntegerField(default=1)),
                (
                    "enqueued_at",
                    models.DateTimeField(db_index=True, default=django.utils.timezone.now, verbose_name="enqueued"),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started")),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished")),
                ("exit_code", models.IntegerField(blank=True, null=True)),
                ("result", models.JSONField(blank=True, null=True)),
                ("stdout", models.TextField(blank=True, help_text="The end of it, masked.")),
                ("stderr", models.TextField(blank=True, help_text="The end of it, masked.")),
                ("error", models.JSONField(blank=True, null=True)),
                ("receipts", models.JSONField(blank=True, default=list, help_text="Where each secret came from.")),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-enqueued_at", "-pk"),
                "permissions": (
                    ("run:*", "Can run any action"),
                    ("cancel_execution", "Can cancel executions"),
                    ("check_secrets", "Can look whether secrets are there"),
                ),
                "default_permissions": ("view", "delete"),
                "indexes": [
                    models.Index(fields=["status", "-enqueued_at"], name="attune_tasks_status"),
                    models.Index(fields=["action", "-enqueued_at"], name="attune_tasks_action"),
                ],
            },
        ),
    ]
