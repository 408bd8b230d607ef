"""How a value gets to where a reference says: the command to type, for the provider that is configured."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Protocol

from attune_tasks.errors import AttuneTasksError
from attune_tasks.secrets.provider import ProviderSettings
from attune_tasks.secrets.references import SecretReference, parse_reference
from attune_tasks.secrets.vault_options import read_options

__all__ = ["StoreSettings", "how_to_store"]


class StoreSettings(ProviderSettings, Protocol):
    """The part of the settings that says where secrets are."""

    @property
    def provider(self) -> str:
        """The provider of references that name none."""
        ...


def how_to_store(text: str, settings: StoreSettings) -> str:
    """Say what to type so that the reference `text` has a value, which is read from standard input or a file."""
    try:
        reference = parse_reference(text, default_provider=settings.provider)
        if reference.provider == "vault":
            return _by_vault(reference, settings)
    except AttuneTasksError:  # the settings of where it is may be the worker's alone
        return f"store it as {text}"
    if reference.provider == "file":
        return _by_file(reference, settings)
    return f"store it where the provider {reference.provider} reads {text}"


def _by_vault(reference: SecretReference, settings: StoreSettings) -> str:
    mount, path = read_options(settings.vault.as_options()).locate(reference)
    namespace = f"-namespace={shlex.quote(mount.server.namespace)} " if mount.server.namespace else ""
    field = reference.field or "<field>"
    command = f"vault kv put {namespace}-mount={shlex.quote(mount.path)} {shlex.quote(path)} {shlex.quote(field)}=-"
    return f"`{command}` reads it from standard input (`patch` in place of `put` keeps the other fields there)"


def _by_file(reference: SecretReference, settings: StoreSettings) -> str:
    path = settings.file.path
    where = str(path) if path is not None else "the file of secrets.file.path"
    is_yaml = path is not None and Path(str(path)).suffix in {".yaml", ".yml"}
    table = f"`{reference.path}:`" if is_yaml else f'`["{reference.path}"]`'
    return f"in {where} (mode 0600), beneath {table}, write the field `{reference.field or '<field>'}` with an editor"
