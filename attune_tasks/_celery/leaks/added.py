"""Surfaces that a web framework adds: what it keeps of executions, a scanner is to read, too."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from celery import Celery

from attune_tasks.errors import place_of

if TYPE_CHECKING:  # a scanner's: a web process loads this module, too
    from attune_tasks.leaks import Seeker, Surface

__all__ = ["add_surface", "added_surfaces", "makers_of_added", "remove_surface"]

_makers: Final[dict[str, str]] = {}


def add_surface(name: str, maker: str) -> None:
    """Have `maker`, as ``module:function``, called in each scanner of this worker, with the app and a seeker.

    It gives the surface of that name. The scanner is a process of its own, in which no framework is set up yet.
    """
    _makers[name] = maker


def remove_surface(name: str) -> None:
    """Undo :func:`add_surface`."""
    _makers.pop(name, None)


def makers_of_added() -> dict[str, str]:
    """Give what was added in this process, by the surfaces' names."""
    return dict(_makers)


def added_surfaces(makers: Mapping[str, str], app: Celery, seeker: Seeker) -> list[Surface]:
    """Make them; what can't be made says so in the table."""
    surfaces: list[Surface] = []
    for name, maker in makers.items():
        module, _, function = maker.partition(":")
        try:
            surfaces.append(getattr(import_module(module), function)(app, seeker))
        except Exception as error:  # noqa: BLE001 - whatever a project's settings raise: texts may quote a password
            surfaces.append(_unmade(name, seeker, f"{type(error).__name__} at {place_of(error)}"))
    return surfaces


def _unmade(name: str, seeker: Seeker, why: str) -> Surface:
    from attune_tasks._celery.leaks.base import CelerySurface

    class Unmade(CelerySurface):
        def begin(self) -> None:
            self._not_looked_at(f"it could not be set up in the scanner: {why}")

    return Unmade(name, seeker)
