"""Plugins found by entry points: runtimes and secret providers, the built-in ones too."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from attune_tasks.errors import PluginError
from attune_tasks.nearest import nearest

__all__ = ["PluginGroup"]


class PluginGroup:
    """The plugins of one entry point group, by name. The installed distributions are scanned once per object."""

    def __init__(self, group: str, kind: str) -> None:
        """Look in the entry point group `group`; `kind` is the word for one of its plugins in messages."""
        self._group = group
        self._kind = kind

    def names(self) -> tuple[str, ...]:
        """Give the names of all plugins, sorted, those that can't be used too."""
        return tuple(self._found)

    def load(self, name: str) -> Any:
        """Import one plugin and give the object that its entry point names.

        Raises PluginError for a name that is unknown, that two distributions claim, or whose import fails.
        """
        entry = self._only(name)
        try:
            return entry.load()
        except (Exception, SystemExit) as error:
            msg = (
                f"the {self._kind} {name!r} ({entry.value}, from {_distribution(entry)}) failed to import: "
                f"{type(error).__name__}; repair or uninstall that distribution"
            )
            raise PluginError(msg) from error

    def distribution(self, name: str) -> str:
        """Say which distribution brought a plugin, as ``attune-tasks 0.2.0``.

        Raises PluginError for a name that is unknown or that two distributions claim.
        """
        return _distribution(self._only(name))

    def problems(self) -> tuple[str, ...]:
        """Load every plugin, and give one line for each that can't be used."""
        lines = []
        for name in self.names():
            try:
                self.load(name)
            except PluginError as error:
                lines.append(str(error))
        return tuple(lines)

    @cached_property
    def _found(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for entry in sorted(entry_points(group=self._group), key=lambda entry: (entry.name, _distribution(entry))):
            found.setdefault(entry.name, []).append(entry)
        return found

    def _only(self, name: str) -> EntryPoint:
        entries = self._found.get(name)
        if entries is None:
            near = nearest(name, self.names())
            hint = f"did you mean {near!r}? " if near else ""
            msg = f"no {self._kind} is named {name!r}; {hint}installed: {', '.join(self.names()) or 'none'}"
            raise PluginError(msg)
        if len(entries) > 1:
            claims = " and ".join(_distribution(entry) for entry in entries)
            msg = f"the {self._kind} {name!r} comes from {claims}: uninstall all of them but one"
            raise PluginError(msg)
        return entries[0]


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"
