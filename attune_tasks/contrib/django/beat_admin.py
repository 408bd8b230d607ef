"""django-celery-beat's admin, with an action to pick and its parameters, which are checked when they are saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django_celery_beat.admin import PeriodicTaskAdmin, PeriodicTaskForm
from django_celery_beat.models import PeriodicTask

from attune_tasks._celery.calls import read_call
from attune_tasks._celery.enqueueing import app_or_default
from attune_tasks._celery.per_app import state_of
from attune_tasks.contrib.django.permissions import may_run
from attune_tasks.contrib.django.recordable import known_action, shown_parameters
from attune_tasks.errors import AttuneTasksError
from attune_tasks.tasks import NAME

__all__ = ["ActionTaskAdmin", "ActionTaskForm"]

_OURS: Final = ("attune_action", "attune_parameters")


class ActionTaskForm(PeriodicTaskForm):
    """A periodic task. Where an action is picked, task and positional arguments are made from it."""

    data: Any
    user: Any = None
    """Who fills it in; set by the admin."""

    attune_action = forms.ChoiceField(
        label="Action",
        required=False,
        help_text="In place of a task. Other arguments, as timeout, are keyword arguments.",
        error_messages={"invalid_choice": "Choose one of the actions."},
    )
    attune_parameters = forms.JSONField(
        label="Its parameters",
        required=False,
        help_text="As a JSON object. A secret parameter takes a reference.",
        widget=forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}),
        error_messages={"invalid": "Enter JSON."},
    )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """List the actions that the user may run, and the one that the task has."""
        super().__init__(*arguments, **options)
        ref, parameters = _action_of(self.instance)
        refs = [ref] if ref else []
        try:
            actions = state_of(app_or_default(None)).registry.actions
        except AttuneTasksError:
            actions = ()
        refs += [each.ref for each in actions if each.ref != ref and each.enabled and may_run(self.user, each.ref)]
        self.fields["attune_action"].choices = [("", "(none)"), *((each, each) for each in sorted(refs))]
        self.fields["attune_action"].initial = ref
        self.fields["attune_parameters"].initial = {} if parameters is None else parameters
        for field in self.fields.values():
            if isinstance(field.widget, forms.SplitDateTimeWidget):  # whose two inputs Django gives no label
                for widget, what in zip(field.widget.widgets, ("date", "time"), strict=True):
                    widget.attrs["aria-label"] = f"{field.label}: {what}"

    def clean(self) -> Any:
        """Make the message of the picked action; refuse what its worker would, and what the user may not run."""
        picked = self.cleaned_data.get("attune_action")
        if picked:
            self.cleaned_data["regtask"] = NAME
            parameters = self.cleaned_data.get("attune_parameters")
            self.cleaned_data["args"] = json.dumps([picked, {} if parameters is None else parameters])
        data = super().clean()
        if not self.errors and not _may_have_run(self.user, data.get("task"), data.get("args"), data.get("kwargs")):
            self.add_error("task", "You may not have any action run, as this task could: it takes `run:*`.")
        # Without a picked action the arguments may still be ours, typed by hand.
        if data.get("task") == NAME and not self.errors:
            self._check(data, "attune_parameters" if picked else "args")
        return data

    def _check(self, data: Mapping[str, Any], field: str) -> None:
        app = app_or_default(None)
        try:
            call = read_call(json.loads(data.get("args") or "[]"), json.loads(data.get("kwargs") or "{}"))
            call.check()
        except (TypeError, ValueError):
            self.add_error(field, "Expected a list of the action's ref and an object with its parameters.")
            return
        except AttuneTasksError as error:
            self.add_error(field, str(error))
            return
        if not may_run(self.user, call.ref):
            self.add_error("attune_action", "You may not run this action.")
            return
        state = state_of(app)
        try:
            call.check_against(state.registry, state.loaded.settings)
        except AttuneTasksError as error:
            self.add_error(field, list(error.problems) or str(error))
            self._show_again(field, call)

    def _show_again(self, field: str, call: Any) -> None:
        """Show what was typed with no value that may be a secret, typed in place of its reference."""
        shown: Any = shown_parameters(known_action(app_or_default(None), call.ref), call.parameters or {})
        self.data = self.data.copy()
        self.data[self.add_prefix(field)] = json.dumps(shown if field in _OURS else [call.ref, shown])


class ActionTaskAdmin(PeriodicTaskAdmin):
    """django-celery-beat's own, with the two fields in front."""

    form = ActionTaskForm

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:  # noqa: FBT001, FBT002 - Django's own
        """Give a form that knows who fills it in."""
        made = super().get_form(request, obj, change=change, **options)
        return type(made.__name__, (made,), {"user": request.user})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Put the action behind the task's name."""
        first, *others = super().get_fieldsets(request, obj)
        names = list(first[1]["fields"])
        fields = (names[0], *_OURS, *(name for name in names[1:] if name not in _OURS))
        return [(first[0], {**first[1], "fields": fields}), *others]

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: Any) -> None:
        """Run those at once whose actions the user may run."""
        if self._may_run_all(request, queryset):
            super().run_tasks(request, queryset)

    @admin.action(description="Enable selected tasks")
    def enable_tasks(self, request: HttpRequest, queryset: Any) -> None:
        """Let those go on by the clock whose actions the user may run."""
        if self._may_run_all(request, queryset):
            super().enable_tasks(request, queryset)

    @admin.action(description="Toggle activity of selected tasks")
    def toggle_tasks(self, request: HttpRequest, queryset: Any) -> None:
        """Do so, or no longer."""
        if self._may_run_all(request, queryset):
            super().toggle_tasks(request, queryset)

    def _may_run_all(self, request: HttpRequest, tasks: Any) -> bool:
        user = request.user
        refused = [
            task.name
            for task in tasks
            if not _may_have_run(user, task.task, task.args, task.kwargs)
            or ((ref := _action_of(task)[0]) and not may_run(user, ref))
        ]
        if refused:
            self.message_user(request, f"You may not run the action of: {', '.join(refused)}", "error")
        return not refused


def _may_have_run(user: Any, task: Any, args: Any, kwargs: Any) -> bool:
    """Say whether `user` may have Celery's own tasks, as ``celery.starmap``, run the actions that these name."""
    if not str(task).startswith("celery."):
        return True
    try:
        # Made anew: text has many ways of escaping.
        given = json.dumps([json.loads(args or "[]"), json.loads(kwargs or "{}")])
    except (TypeError, ValueError, RecursionError):
        return may_run(user, "*")
    return NAME not in given or may_run(user, "*")


def _action_of(task: Any) -> tuple[str, Any]:
    """Give the action of a periodic task and its parameters; empty where it is another task's."""
    if task is None or task.task != NAME:
        return "", None
    try:
        call = read_call(json.loads(task.args or "[]"), json.loads(task.kwargs or "{}"))
    except (TypeError, ValueError):
        return "", None
    if not isinstance(call.ref, str):
        return "", None
    parameters: Any = call.parameters
    action = known_action(app_or_default(None), call.ref)
    # What was typed by hand in place of a reference, past this form, is not shown.
    if action is not None and isinstance(parameters, Mapping):
        parameters = shown_parameters(action, parameters)
    return call.ref, parameters


if admin.site.is_registered(PeriodicTask):
    admin.site.unregister(PeriodicTask)
admin.site.register(PeriodicTask, ActionTaskAdmin)
