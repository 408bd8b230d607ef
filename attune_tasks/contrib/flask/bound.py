"""What one Flask application has of attune_tasks: kept with the application, never in a module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from flask import Flask

__all__ = ["NAME", "Allow", "Bound", "Login", "What", "bound_to"]

NAME: Final = "attune_tasks"
"""In ``app.extensions``, and of the blueprint."""

What = Literal["enqueue", "view"]
Login = Callable[[], str | None]
"""Gives the name of the user who asks, by the request at hand; None: nobody has logged in."""
Allow = Callable[[str, What, str], bool]
"""Says whether a user may: ``enqueue`` an action, by its ref, or ``view`` an execution, by its id."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The application's Celery app, and who may do what."""

    celery: Any
    login: Login | None
    allow: Allow | None

    def user(self) -> str | None:
        """Give the name of who asks; None: nobody, or the application says nothing of users.

        Raises TypeError for what is no name, such as a view's answer, or True.
        """
        name = self.login() if self.login is not None else None
        if name is not None and not isinstance(name, str):
            msg = f"the login function gave {type(name).__name__}: expected the user's name as text, or None"
            raise TypeError(msg)
        return name or None


def bound_to(app: Flask) -> Bound:
    """Give what `app` has. Raises RuntimeError where ``init_app`` was not called for it."""
    found = app.extensions.get(NAME)
    if not isinstance(found, Bound):
        msg = f"AttuneTasks knows nothing of the application {app.name}: call init_app(app)"
        raise RuntimeError(msg)  # noqa: TRY004 - as Flask's other extensions do
    return found
