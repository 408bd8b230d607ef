"""Two views: one enqueues an action, one says how it stands."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse

import attune_tasks
from attune_tasks.ids import new_execution_id, task_id_of


def start(_request: HttpRequest, name: str) -> JsonResponse:
    """Enqueue once the transaction is through: a worker can be quicker than a commit."""
    number = new_execution_id()
    transaction.on_commit(lambda: attune_tasks.enqueue("hello.greet", {"name": name}, execution_id=number))
    return JsonResponse({"task_id": task_id_of(number)}, status=202)


def show(_request: HttpRequest, task_id: str) -> JsonResponse:
    """Say how it stands; what a caller may see is yours to decide."""
    handle = attune_tasks.Handle.from_task_id(task_id)
    done = handle.status() not in {"pending", "running"}
    return JsonResponse(handle.result().to_dict() if done else {"status": handle.status()})
