"""``path("actions/", include("attune_tasks.contrib.django.urls"))``."""

from __future__ import annotations

from typing import Final

from django.urls import path

from attune_tasks.contrib.django import views
from attune_tasks.contrib.django.metrics import metrics_view

__all__ = ["app_name", "urlpatterns"]

app_name: Final = "attune_tasks"

urlpatterns: Final = [
    path("executions/", views.enqueue_view, name="enqueue"),
    path("executions/<int:execution_id>/", views.status_view, name="status"),
    path("executions/<int:execution_id>/output/", views.output_view, name="output"),
    path("metrics", metrics_view, name="metrics"),
]
