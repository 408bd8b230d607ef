"""Secret providers, each made when first needed, once per process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

from attune_tasks.errors import PluginError
from attune_tasks.secrets.provider import SecretProvider

__all__ = ["ProviderPool"]


class ProviderPool:
    """Keeps one provider per name and process: a client's connection does not survive a fork."""

    def __init__(self, source: Callable[[str], SecretProvider] | Mapping[str, SecretProvider]) -> None:
        """Take ready providers by name, or a function that makes one."""
        self._source = source
        self._made = _Made()

    def get(self, name: str) -> SecretProvider:
        """Give the provider `name`; where several threads ask at once, one of them makes it.

        Raises PluginError where there is none of that name, and what its making raises.
        """
        made = self._made
        if made.pid != os.getpid():
            # The lock is renewed too: a thread of the parent may have held it when this process was forked.
            made = self._made = _Made()
        if isinstance(self._source, Mapping):
            if name not in self._source:
                msg = f"no secret provider is named {name!r}; there are: {', '.join(self._source) or 'none'}"
                raise PluginError(msg)
            return self._source[name]
        with made.lock:
            if name not in made.providers:
                made.providers[name] = self._source(name)
            return made.providers[name]

    def keeps_deadline(self, name: str) -> bool:
        """Say whether the provider `name` has been made, and says that its reads never outlast their deadline."""
        provider = self._source.get(name) if isinstance(self._source, Mapping) else self._made.providers.get(name)
        return self._made.pid == os.getpid() and getattr(provider, "keeps_deadline", False) is True


class _Made:
    """What was made in one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.providers: dict[str, SecretProvider] = {}
