"""What a secret provider is, and how one is made from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from attune_tasks.errors import AttuneTasksError, PluginError
from attune_tasks.plugins import PluginGroup
from attune_tasks.secrets.references import SecretReference

__all__ = ["ProviderSettings", "SecretProvider", "create_provider"]


class SecretProvider(Protocol):
    """Reads secrets from one kind of store.

    Its class is named by an entry point of the group ``attune_tasks.secret_providers`` and has a class method
    ``from_settings(options)``, given the mapping in ``secrets.options.<name>`` of the settings. Where it has an
    attribute ``keeps_deadline = True``, its reads are trusted never to outlast their deadline, and are not made in a
    thread of their own, which costs 0.3 ms an execution.
    """

    @property
    def name(self) -> str:
        """The name that stands before ``://`` in a reference."""
        ...

    def read(self, reference: SecretReference, *, deadline: float) -> Mapping[str, object]:
        """Give all the fields at `reference`'s path, by :func:`time.monotonic` not later than `deadline`.

        A :class:`SecretFields` says besides which version that is, and by which id the store's log has the read; both
        go into the audit record, where any other mapping leaves them empty.

        Raises SecretsUnavailableError with a message which says why, and never quotes what was read; its `request_id`
        is for the audit record, too. Of any other exception only the class is told.
        """
        ...

    def describe(self) -> str:
        """Say in one line what the provider reads from; raise an AttuneTasksError where that does not work."""
        ...


class _File(Protocol):
    @property
    def path(self) -> object: ...


class _Vault(Protocol):
    def as_options(self) -> Mapping[str, Any]: ...


class ProviderSettings(Protocol):
    """The part of the settings that providers are made from."""

    @property
    def file(self) -> _File:
        """The options of the provider ``file``."""
        ...

    @property
    def vault(self) -> _Vault:
        """The options of the provider ``vault``."""
        ...

    @property
    def options(self) -> Mapping[str, Mapping[str, Any]]:
        """The options of every other provider, by its name."""
        ...


def create_provider(name: str, settings: ProviderSettings) -> SecretProvider:
    """Make the provider `name` from `settings` (``Settings.secrets``).

    Raises PluginError where there is none of that name or it can't be loaded, and whatever AttuneTasksError it raises
    about its own options. What else it raises is told by its class only: it may quote an option, such as a token.
    """
    made_by = PluginGroup("attune_tasks.secret_providers", "secret provider").load(name)
    # The options may hold a token: no variable of a frame that an error reporter could write down is one of them.
    try:
        return cast(SecretProvider, made_by.from_settings(_options(name, settings)))
    except AttuneTasksError as error:
        known = error.with_traceback(None)
        known.__cause__ = known.__context__ = None
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        known, cause = None, type(error).__name__
    if known is not None:
        raise known
    msg = f"the secret provider {name!r} could not be made from secrets.options.{name}: {cause}"
    raise PluginError(msg)


def _options(name: str, settings: ProviderSettings) -> Mapping[str, Any]:
    if name == "file":
        return {"path": settings.file.path}
    return settings.vault.as_options() if name == "vault" else settings.options.get(name, {})
