"""The admin: a list of executions, the page of each, a form to run actions, and the packs that there are."""

from __future__ import annotations

import json
from typing import Any, Final

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from attune_tasks._celery.enqueueing import app_or_default
from attune_tasks._celery.handle import Handle
from attune_tasks.contrib.django.admin_run import choose_view, packs_view, run_view, start
from attune_tasks.contrib.django.events import event_stream
from attune_tasks.contrib.django.keeping import refresh
from attune_tasks.contrib.django.models import Execution
from attune_tasks.contrib.django.output import output_of
from attune_tasks.contrib.django.permissions import may_cancel, may_run, may_run_any, may_view, may_view_all
from attune_tasks.contrib.django.recordable import MASK

__all__ = ["ExecutionAdmin"]

_JSON_FIELDS: Final = ("parameters", "env", "result", "receipts")


@admin.register(Execution)
class ExecutionAdmin(admin.ModelAdmin):
    """Executions. Nobody adds or changes one; who may not see all of them sees his own."""

    list_display = ("execution", "action", "status", "user", "enqueued_at", "duration", "exit_code")
    list_filter = ("status", "action", "enqueued_at")
    list_select_related = ("user",)
    search_fields = ("action", "task_id", "caller", "=execution_id", "stdout", "stderr")
    search_help_text = "Action, task, caller, the whole id of an execution, or what it has printed."
    date_hierarchy = "enqueued_at"
    ordering = ("-enqueued_at", "-pk")
    show_full_result_count = False
    change_form_template = "admin/attune_tasks/execution/execution.html"
    change_list_template = "admin/attune_tasks/execution/executions.html"
    fieldsets = (
        (None, {"fields": ("execution_id", "shown_error", "exit_code", "attempt")}),
        ("Asked for", {"fields": ("shown_parameters", "shown_env", "timeout", "user", "caller")}),
        ("Times", {"fields": ("enqueued_at", "started_at", "finished_at", "duration")}),
        ("Came to", {"fields": ("shown_result", "shown_receipts", "task_id")}),
    )

    class Media:
        """What the pages need; a policy for content need not allow anything inline."""

        js = ("attune_tasks/execution.js",)
        css: Final = {"all": ("attune_tasks/execution.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's own
        """Refuse: they are made by running actions."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - the same
        """Refuse: they say what has happened."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let see all, or one's own."""
        if obj is None:
            return may_view_all(request.user) or may_run_any(request.user)
        return may_view(request.user, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Execution]:
        """Give those that the user may see."""
        rows: QuerySet[Execution] = super().get_queryset(request)
        return rows if may_view_all(request.user) else rows.filter(user=request.user)

    def get_urls(self) -> list[Any]:
        """Add the pages and what they ask for."""
        view = self.admin_site.admin_view
        info = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            ("run/", choose_view(self), "choose"),
            ("run/<path:ref>/", run_view(self), "run"),
            ("packs/", packs_view(self), "packs"),
            ("<path:object_id>/live/", require_GET(never_cache(self.live_view)), "live"),
            ("<path:object_id>/events/", require_GET(self.events_view), "events"),
            ("<path:object_id>/cancel/", require_POST(self.cancel_view), "cancel"),
            ("<path:object_id>/again/", require_POST(self.again_view), "again"),
        ]
        return [*(path(route, view(each), name=f"{info}_{name}") for route, each, name in own), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show an execution, as it stands by now."""
        execution = refresh(self.found(request, object_id))
        # A stranger may name what no address can hold.
        is_named = bool(execution.action) and execution.action.isprintable()
        can_run = is_named and may_run(request.user, execution.action)
        context = {
            "may_cancel": may_cancel(request.user) and not execution.has_ended,
            "may_run": can_run,
            "may_repeat": not _is_masked(execution),
            "otherwise_url": self._otherwise_url(execution) if can_run else "",
            "live_url": reverse(f"{self.admin_site.name}:attune_tasks_execution_live", args=[execution.pk]),
            "events_url": self._events_url(request, execution),
            "title": execution.action,
            "subtitle": None,  # the id, which is in the first row
            "show_save": False,
            "show_save_and_continue": False,
        }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """List executions."""
        context = {"may_run_any": may_run_any(request.user), "title": "Executions"}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def found(self, request: HttpRequest, object_id: str) -> Execution:
        """Give an execution that the user may see; of others he does not learn that they exist."""
        execution: Execution | None = self.get_object(request, object_id)
        if execution is None or not may_view(request.user, execution):
            raise Http404
        return execution

    def live_view(self, request: HttpRequest, object_id: str) -> JsonResponse:
        """Give what an execution has said since the page last asked."""
        return JsonResponse(output_of(self.found(request, object_id), request.GET.get("after", "")))

    def events_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give the same as it comes, under ASGI."""
        execution = self.found(request, object_id)
        if not isinstance(request, ASGIRequest):
            raise Http404
        return event_stream(execution, request.headers.get("Last-Event-ID", request.GET.get("after", "")))

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Have it ended."""
        execution = self.found(request, object_id)
        if not may_cancel(request.user):
            raise PermissionDenied
        try:
            answer = Handle.from_task_id(execution.task_id, app_or_default(None)).cancel()
        except Exception as error:  # noqa: BLE001 - the broker's own, whose text may quote its URL
            text = f"Nobody could be asked to cancel it: {type(error).__name__}."
            self.message_user(request, text, messages.ERROR)
        else:
            level = messages.WARNING if answer.outcome == "no_worker" else messages.SUCCESS
            self.message_user(request, f"The execution of {execution.action}: {answer}.", level)
            self.log_change(request, execution, "Cancelled.")
        return HttpResponseRedirect(self.address_of(execution))

    def again_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Run it again, by its references: secrets are fetched anew."""
        execution = self.found(request, object_id)
        if not may_run(request.user, execution.action):
            raise PermissionDenied
        if _is_masked(execution):
            text = "What it was given is not all recorded: give it anew."
            self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(self._otherwise_url(execution))
        options = {"env": execution.env or None, "timeout": execution.timeout}
        given = {name: value for name, value in options.items() if value is not None}
        return start(self, request, execution.action, execution.parameters, **given) or HttpResponseRedirect(
            self.address_of(execution)
        )

    def address_of(self, execution: Execution) -> str:
        """Give the address of its page."""
        return reverse(f"{self.admin_site.name}:attune_tasks_execution_change", args=[execution.pk])

    def _otherwise_url(self, execution: Execution) -> str:
        """Give the address of its action's form, with what it was given."""
        address = reverse(f"{self.admin_site.name}:attune_tasks_execution_run", args=[execution.action])
        return f"{address}?of={execution.pk}"

    def _events_url(self, request: HttpRequest, execution: Execution) -> str:
        """Give the address of the stream; empty under WSGI, where the page asks again and again."""
        name = f"{self.admin_site.name}:attune_tasks_execution_events"
        return reverse(name, args=[execution.pk]) if isinstance(request, ASGIRequest) else ""

    @admin.display(description="execution", ordering="execution_id")
    def execution(self, execution: Execution) -> str:
        """Show the id, as text: it is longer than JavaScript's numbers."""
        return str(execution.execution_id)

    @admin.display(description="duration")
    def duration(self, execution: Execution) -> str:
        """Show how long it ran."""
        milliseconds = execution.duration_ms
        return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"

    @admin.display(description="error")
    def shown_error(self, execution: Execution) -> str:
        """Show kind and text of its error."""
        error = execution.error or {}
        return format_html("<b>{}</b> {}", error.get("type", ""), error.get("message", "")) if error else "-"

    @admin.display(description="parameters")
    def shown_parameters(self, execution: Execution) -> str:
        """Show the parameters as JSON."""
        return _pretty(execution.parameters)

    @admin.display(description="variables")
    def shown_env(self, execution: Execution) -> str:
        """Show the variables as JSON."""
        return _pretty(execution.env)

    @admin.display(description="result")
    def shown_result(self, execution: Execution) -> str:
        """Show the result as JSON."""
        return _pretty(execution.result)

    @admin.display(description="secrets read")
    def shown_receipts(self, execution: Execution) -> str:
        """Show where each secret came from."""
        return _pretty(execution.receipts)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:  # noqa: ARG002 - Django's own
        """Name all that is shown."""
        return [name for _, options in self.fieldsets for name in options["fields"]]


def _pretty(value: Any) -> str:
    if value in (None, {}, []):
        return "-"
    return format_html('<pre class="attune-json">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False))


def _is_masked(execution: Execution) -> bool:
    return MASK in (*execution.parameters.values(), *execution.env.values())


if apps.is_installed("django_celery_beat"):
    from attune_tasks.contrib.django import beat_admin  # noqa: F401 - it registers itself in place of the other
