"""The Celery adapter: the only place that imports Celery. Its public faces are tasks, app and testing."""
