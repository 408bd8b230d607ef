"""The extension: settings, the Celery app, the commands and the endpoints of a Flask application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, current_app, has_request_context

from attune_tasks.contrib.flask.bound import NAME, Allow, Bound, Login, bound_to
from attune_tasks.contrib.flask.commands import attune_command
from attune_tasks.errors import SettingsError

if TYPE_CHECKING:
    from attune_tasks import Handle

__all__ = ["AttuneTasks"]

_CELERY: Final = "celery"  # in app.extensions: where Flask's own documentation puts it


class AttuneTasks:
    """Brings attune_tasks into Flask applications.

    ``app.config["ATTUNE_TASKS"]`` has attune_tasks' settings, ``app.config["CELERY"]`` Celery's, as Flask's
    documentation has it. An app in ``app.extensions["celery"]`` is taken; else one is made and put there.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        login: Login | None = None,
        allow: Allow | None = None,
        url_prefix: str = "/attune",
    ) -> None:
        """Set up `app`, if it is given, as :meth:`init_app` does.

        `login` gives the name of the user who makes the request at hand, or None. Without it no endpoint is served.
        `allow`, called with the user's name, ``enqueue`` or ``view``, and an action's ref or an execution's id, may
        refuse what a user asks for; without it all who have logged in may do all.
        """
        self._login = login
        self._allow = allow
        self._url_prefix = url_prefix
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up `app`. Raises SettingsError."""
        celery = self._celery_app(app)
        app.extensions[NAME] = Bound(celery, self._login, self._allow)
        app.cli.add_command(attune_command(celery))
        if self._login is not None:
            from attune_tasks.contrib.flask.endpoints import make_blueprint

            app.register_blueprint(make_blueprint(), url_prefix=self._url_prefix)

    def enqueue(self, ref: str, parameters: Mapping[str, Any] | None = None, **options: Any) -> Handle:
        """Have a worker of the current application run an action, as :func:`attune_tasks.enqueue` does.

        In a request the caller is its user, where there is a login function and somebody has logged in.
        """
        from attune_tasks import enqueue

        bound = bound_to(current_app)
        if "caller" not in options and has_request_context() and (user := bound.user()) is not None:
            options["caller"] = user
        return enqueue(ref, parameters, app=bound.celery, **options)

    @staticmethod
    def _celery_app(app: Flask) -> Any:
        from attune_tasks import tasks as _tasks  # noqa: F401 - so that every Celery app knows run_action
        from attune_tasks._celery.making_app import make_framework_app

        settings, celery_settings = app.config.get("ATTUNE_TASKS"), app.config.get("CELERY")
        problems = [
            f'app.config["{name}"]: expected a mapping'
            for name, value in (("ATTUNE_TASKS", settings), ("CELERY", celery_settings))
            if value is not None and not isinstance(value, Mapping)
        ]
        if problems:
            raise SettingsError(problems=problems)
        made = app.extensions.get(_CELERY)
        if made is None:
            made = make_framework_app(app.name, celery_settings, settings, app.app_context)
            app.extensions[_CELERY] = made
        if settings is not None:
            made.conf.attune_tasks = dict(settings)
        return made
