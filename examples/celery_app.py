"""Celery alone. A worker: celery -A celery_app worker. Then: python celery_app.py."""

from celery import Celery

import attune_tasks

app = Celery("celery_app", broker="redis://localhost:6379/0", backend="redis://localhost:6379/1")
app.conf.update(include=["attune_tasks.tasks"])

if __name__ == "__main__":
    handle = attune_tasks.enqueue("hello.greet", {"name": "Ada"}, timeout=20)
    print(f"execution {handle.execution_id} is {handle.status()}")
    result = handle.result(timeout=60)  # raises ResultTimeoutError after 60 seconds; the action goes on
    if result.succeeded:
        print(result.result["greeting"])
    else:
        print(result.status, result.error, result.stderr)
