"""Three JSON views: enqueue an action, say how an execution stands, give its output. Who may what: ``permissions``."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import Http404, HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from attune_tasks.contrib.django.answering import refused, signed_in, token_asked
from attune_tasks.contrib.django.enqueueing import enqueue
from attune_tasks.contrib.django.keeping import refresh
from attune_tasks.contrib.django.models import Execution
from attune_tasks.contrib.django.output import output_of
from attune_tasks.contrib.django.permissions import may_run, may_view
from attune_tasks.errors import AttuneTasksError

__all__ = ["enqueue_view", "output_view", "status_view"]

_KEYS = frozenset({"action", "parameters", "timeout", "idempotency_key"})


@transaction.non_atomic_requests  # with one, a broker that is away would be told behind the answer
@token_asked
@never_cache
@require_POST
@signed_in
def enqueue_view(request: HttpRequest, user: Any) -> JsonResponse:
    """Enqueue ``{"action": …, "parameters": {…}, "timeout": …, "idempotency_key": …}``; answer 202 with the ids.

    The message has gone out by then, also where requests are transactions (``ATOMIC_REQUESTS``).
    """
    try:
        asked = json.loads(request.body)
    except RequestDataTooBig:
        return refused(413, "too_large", "the body is longer than DATA_UPLOAD_MAX_MEMORY_SIZE allows")
    except (ValueError, RecursionError):
        return refused(400, "not_json", "the body is not JSON")
    if not isinstance(asked, dict) or not isinstance(asked.get("action"), str) or asked.keys() - _KEYS:
        return refused(400, "not_a_call", f"expected an object with `action`, and of {', '.join(sorted(_KEYS))}")
    if not may_run(user, asked["action"]):
        return refused(403, "not_allowed", "you may not run this action")
    return _enqueued(request, user, asked)


def _enqueued(request: HttpRequest, user: Any, asked: dict[str, Any]) -> JsonResponse:
    ref = asked["action"]
    options = {name: asked[name] for name in ("timeout", "idempotency_key") if asked.get(name) is not None}
    if isinstance(key := options.get("idempotency_key"), str) and key:
        options["idempotency_key"] = json.dumps(["user", str(user.pk), key])  # nobody gets another's execution by it
    try:
        handle = enqueue(ref, asked.get("parameters"), user=user, **options)
    except AttuneTasksError as error:
        status = 404 if error.code == "unknown_action" else 400
        return refused(status, error.code, str(error), list(error.problems))
    except ValueError:
        return refused(400, "not_a_call", "an idempotency_key is text that is not empty")
    except Exception as error:  # noqa: BLE001 - the broker's own, whose text may quote its URL
        return refused(503, "broker_unavailable", f"it was not enqueued: {type(error).__name__}")
    number = handle.execution_id
    names = request.resolver_match.namespace if request.resolver_match else ""
    links = {name: reverse(":".join(filter(None, (names, name))), args=[number]) for name in ("status", "output")}
    ids = {"execution_id": str(number), "task_id": handle.task_id}
    return JsonResponse(ids | links, status=202)


@never_cache
@require_GET
@signed_in
def status_view(_request: HttpRequest, user: Any, execution_id: int) -> JsonResponse:
    """Say how an execution stands."""
    return JsonResponse(refresh(_own(user, execution_id)).to_dict())


@never_cache
@require_GET
@signed_in
def output_view(request: HttpRequest, user: Any, execution_id: int) -> JsonResponse:
    """Give what an execution has said; ``?after=`` what the last answer named gives the rest."""
    return JsonResponse(output_of(_own(user, execution_id), request.GET.get("after", "")))


def _own(user: Any, execution_id: int) -> Execution:
    """Give an execution that `user` may see; of others he does not learn that they exist."""
    execution = Execution.objects.filter(execution_id=execution_id).first() if execution_id < 1 << 63 else None
    if execution is None or not may_view(user, execution):
        raise Http404
    return execution
