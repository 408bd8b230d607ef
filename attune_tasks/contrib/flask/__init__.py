"""Flask: ``AttuneTasks(app)`` gives an application its Celery app, ``flask attune …``, and three JSON endpoints."""

from __future__ import annotations

from attune_tasks.contrib.flask.extension import AttuneTasks

__all__ = ["AttuneTasks"]
