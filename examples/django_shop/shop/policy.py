"""A content security policy. The admin's pages and those of attune_tasks need nothing inline."""

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

__all__ = ["ContentSecurityPolicy"]

_POLICY = "default-src 'self'; img-src 'self' data:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
_WITHOUT = "/admin/django_celery_beat/"  # one of its pages has a script of its own inline


class ContentSecurityPolicy(MiddlewareMixin):
    """Puts the policy into every answer."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the head."""
        if not request.path.startswith(_WITHOUT):
            response.headers["Content-Security-Policy"] = _POLICY
        return response
