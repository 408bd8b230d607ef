"""Finds runtimes by name among the entry points ``attune_tasks.runtimes``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from attune_tasks.errors import PluginError, UnknownRuntimeError
from attune_tasks.plugins import PluginGroup
from attune_tasks.runtimes.base import Runtime

__all__ = ["get_runtime", "runtime_names", "runtime_problems"]


@cache
def _group() -> PluginGroup:
    """Scan once per process: what is installed does not change under a running worker."""
    return PluginGroup("attune_tasks.runtimes", "runtime")


def runtime_names() -> tuple[str, ...]:
    """Give the names of all runtimes that are installed."""
    return _group().names()


def runtime_problems() -> tuple[str, ...]:
    """Give a line for each installed runtime that can't be used."""
    return _group().problems()


def get_runtime(name: str, options: Mapping[str, Any] | None = None) -> Runtime:
    """Make the runtime `name`; `options` are its constructor's keyword arguments (``[runtimes.NAME]`` in settings).

    Raises UnknownRuntimeError, or PluginError where the plugin can't be used or does not know an option.
    """
    group = _group()
    if name not in group.names():
        msg = f"no runtime is called {name!r}; installed are: {', '.join(group.names()) or 'none'}"
        raise UnknownRuntimeError(msg)
    factory = group.load(name)
    try:
        runtime = factory(**(options or {}))
    except TypeError:
        runtime = None
    if runtime is None:
        given = ", ".join(sorted(options or {}))
        msg = f"the runtime {name!r} does not take the options {given} of [runtimes.{name}] in the settings"
        raise PluginError(msg)
    missing = [method for method in ("execute", "describe") if not callable(getattr(runtime, method, None))]
    if missing:
        msg = f"the runtime {name!r} of {group.distribution(name)} has no {' and no '.join(missing)}"
        raise PluginError(msg)
    return cast("Runtime", runtime)
