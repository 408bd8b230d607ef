"""The admin's pages for running actions: which there are, the form of one, and the packs with what they declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from attune_tasks._celery.enqueueing import app_or_default
from attune_tasks._celery.per_app import state_of
from attune_tasks.contrib.django.enqueueing import enqueue
from attune_tasks.contrib.django.forms import ActionForm
from attune_tasks.contrib.django.models import Execution
from attune_tasks.contrib.django.permissions import may_check_secrets, may_run, may_run_any, may_view_all
from attune_tasks.contrib.django.recordable import MASK
from attune_tasks.contrib.django.secrets_seen import secrets_of
from attune_tasks.errors import AttuneTasksError

if TYPE_CHECKING:
    from attune_tasks.contrib.django.admin import ExecutionAdmin
    from attune_tasks.packs import PackRegistry

__all__ = ["choose_view", "packs_view", "run_view", "start"]

_View = Callable[..., HttpResponse]


def choose_view(admin: ExecutionAdmin) -> _View:
    """Make the page that lists the actions which the user may run."""

    def view(request: HttpRequest) -> HttpResponse:
        if not may_run_any(request.user):
            raise PermissionDenied
        registry, error = _registry()
        actions = [action for action in registry.actions if action.enabled and may_run(request.user, action.ref)]
        return _page(admin, request, "choose", "Run an action", {"actions": actions, "error": error})

    return view


def run_view(admin: ExecutionAdmin) -> _View:
    """Make the page with the form of one action; ``?of=`` an execution begins with what that one was given."""

    def view(request: HttpRequest, ref: str) -> HttpResponse:
        if not may_run(request.user, ref):
            raise PermissionDenied
        registry, _ = _registry()
        if ref not in registry or not registry.get(ref).enabled:
            raise Http404
        action = registry.get(ref)
        values = _given_before(admin, request, ref)
        form = ActionForm(action, request.POST if request.method == "POST" else None, values=values)
        if request.method == "POST" and form.is_valid():
            started = start(admin, request, ref, form.parameters)
            if started is not None:
                return started
        return _page(admin, request, "run", f"Run {ref}", {"action": action, "form": form})

    return view


def _given_before(admin: ExecutionAdmin, request: HttpRequest, ref: str) -> dict[str, Any]:
    """Give the parameters of the execution that ``?of=`` names, but for those of which the record has no value."""
    if not (of := request.GET.get("of")):
        return {}
    execution = admin.found(request, of)
    if execution.action != ref:
        raise Http404
    return {name: value for name, value in execution.parameters.items() if value != MASK}


def packs_view(admin: ExecutionAdmin) -> _View:
    """Make the page of packs. Whether secrets are there is looked at when a person asks for it, by POST."""

    def view(request: HttpRequest) -> HttpResponse:
        if not (may_view_all(request.user) or may_run_any(request.user)):
            raise PermissionDenied
        is_asked = request.method == "POST"
        if is_asked and not may_check_secrets(request.user):
            raise PermissionDenied
        registry, error = _registry()
        asked = request.POST.get("pack") if is_asked else None
        packs = [
            {
                "pack": pack,
                "actions": [
                    {
                        "action": action,
                        "secrets": secrets_of(action, look=pack.ref == asked),
                        "may_run": action.enabled and may_run(request.user, action.ref),
                    }
                    for action in registry.actions
                    if action.pack.ref == pack.ref
                ],
            }
            for pack in registry.packs
        ]
        context = {"packs": packs, "error": error, "may_check": may_check_secrets(request.user)}
        return _page(admin, request, "packs", "Packs", context)

    return view


def start(
    admin: ExecutionAdmin, request: HttpRequest, ref: str, parameters: Mapping[str, Any], **options: Any
) -> HttpResponse | None:
    """Enqueue an action for the user, and go to its page; None, with a message, where that is refused."""
    text = ""
    try:
        # At once: the page that follows is to find it, and the admin's own views have no transaction around this.
        handle = enqueue(ref, parameters, user=request.user, on_commit=False, **options)
    except AttuneTasksError as error:
        text = str(error)
    except Exception as error:  # noqa: BLE001 - the broker's own, whose text may quote its URL
        text = f"It was not enqueued, for the broker can't be used: {type(error).__name__}."
    if text:
        admin.message_user(request, text, messages.ERROR)
        return None
    admin.message_user(request, f"Enqueued: {ref}, as execution {handle.execution_id}.", messages.SUCCESS)
    execution = Execution.objects.filter(execution_id=handle.execution_id).first()
    name = f"{admin.admin_site.name}:attune_tasks_execution_changelist"
    return HttpResponseRedirect(admin.address_of(execution) if execution else reverse(name))


def _registry() -> tuple[PackRegistry, str]:
    """Give the packs, and what is wrong with them."""
    from attune_tasks.packs import PackRegistry

    try:
        return state_of(app_or_default(None)).registry, ""
    except AttuneTasksError as error:
        return PackRegistry(), str(error)


def _page(
    admin: ExecutionAdmin, request: HttpRequest, name: str, title: str, context: Mapping[str, Any]
) -> TemplateResponse:
    request.current_app = admin.admin_site.name
    whole = {**admin.admin_site.each_context(request), "opts": admin.opts, "title": title, "media": admin.media}
    return TemplateResponse(request, f"admin/attune_tasks/execution/{name}.html", {**whole, **context})
