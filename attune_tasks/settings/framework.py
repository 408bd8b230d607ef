"""Settings that a web framework keeps among its own, as ``ATTUNE_TASKS`` in Django's. They hold for the process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["framework_settings", "set_framework_settings"]

_source: Final[dict[str, Callable[[], Mapping[str, Any]]]] = {}


def set_framework_settings(origin: str, read: Callable[[], Mapping[str, Any]] | None) -> None:
    """Have `read` asked whenever settings are loaded in this process, by any app; None: no more.

    `origin` is what the place is called in errors. What an app has in its own ``conf.attune_tasks`` wins.
    """
    if read is None:
        _source.pop(origin, None)
    else:
        _source[origin] = read


def framework_settings() -> list[tuple[Mapping[str, Any], str]]:
    """Give what each framework says now, with its origin."""
    return [(read(), origin) for origin, read in _source.items()]
