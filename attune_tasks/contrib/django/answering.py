"""What the JSON views have in common: who is signed in, and how they refuse."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth import get_user_model
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from attune_tasks.contrib.django.options import django_options

__all__ = ["View", "refused", "signed_in", "token_asked"]

View = Callable[..., HttpResponse]


def signed_in(view: View) -> View:
    """Refuse who is not signed in, by the project's own way: 401, never a page to sign in at."""

    @wraps(view)
    def wrapped(request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponse:
        named = django_options().authenticate
        user = import_string(named)(request) if named else getattr(request, "user", None)
        if user is None or not user.is_authenticated or not user.is_active:
            return refused(401, "not_signed_in", "sign in first")
        if not isinstance(user, get_user_model()):  # whose keys are those of others in the records
            msg = f"authenticate gave {type(user).__name__}: expected a user of AUTH_USER_MODEL, or None"
            raise TypeError(msg)
        try:
            return view(request, user, *arguments, **options)
        except Http404:
            return refused(404, "unknown_execution", "there is no such execution, or you may not see it")

    return wrapped


def token_asked(view: View) -> View:
    """Ask for Django's CSRF token, unless the project's own function of signing in is marked as ``csrf_exempt``.

    Such a function goes by what no browser sends by itself, as a header; who has that header has no such token.
    """
    protected = csrf_protect(view)

    @csrf_exempt
    @wraps(view)
    def wrapped(request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponse:
        named = django_options().authenticate
        is_exempt = named is not None and getattr(import_string(named), "csrf_exempt", False)
        answer: HttpResponse = (view if is_exempt else protected)(request, *arguments, **options)
        return answer

    return wrapped


def refused(status: int, kind: str, message: str, problems: list[str] | None = None) -> JsonResponse:
    """Say why not, as all of them do."""
    error = {"type": kind, "message": message, "problems": problems or []}
    return JsonResponse({"error": error}, status=status)
