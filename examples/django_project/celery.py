"""The project's Celery app. In project/__init__.py: from project.celery import app."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
app = Celery("project")
app.config_from_object("django.conf:settings", namespace="CELERY")  # CELERY_BROKER_URL, CELERY_RESULT_BACKEND
app.conf.update(include=["attune_tasks.tasks"])
