"""Flask. The site: flask --app flask_app run. A worker: celery -A flask_app.celery worker."""

from celery import Celery
from flask import Flask

import attune_tasks

app = Flask(__name__)
celery = Celery("flask_app", broker="redis://localhost:6379/0", backend="redis://localhost:6379/1")
celery.conf.update(include=["attune_tasks.tasks"])
celery.set_default()


@app.post("/greet/<name>")
def start(name: str) -> tuple[dict[str, str], int]:
    """Enqueue the action."""
    return {"task_id": attune_tasks.enqueue("hello.greet", {"name": name}).task_id}, 202


@app.get("/executions/<task_id>")
def show(task_id: str) -> dict[str, object]:
    """Say how it stands; what a caller may see is yours to decide."""
    handle = attune_tasks.Handle.from_task_id(task_id)
    done = handle.status() not in {"pending", "running"}
    return handle.result().to_dict() if done else {"status": handle.status()}
