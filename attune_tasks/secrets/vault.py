"""The secret provider ``vault``: KV engines, version 1 and 2, of one or several HashiCorp Vault servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Mapping
from typing import Any, Final

from attune_tasks.errors import SecretsUnavailableError
from attune_tasks.secrets.records import SecretFields
from attune_tasks.secrets.references import SecretReference
from attune_tasks.secrets.single_flight import SingleFlight
from attune_tasks.secrets.vault_client import VaultClient, VaultStanding
from attune_tasks.secrets.vault_failures import VaultFailure, explain, explain_server
from attune_tasks.secrets.vault_options import VaultOptions, VaultServer, read_options

__all__ = ["VaultSecretProvider"]

_DESCRIBE_SECONDS: Final = 3.0
_MARGIN: Final = 0.2
"""Seconds, at most, kept back of a deadline, so that the one who waits hears why instead of giving up."""


class VaultSecretProvider:
    """Reads secrets from Vault. One object per process: it keeps a client and a login for each server.

    Reads of one path that wait at once share one request. Nothing is kept after it, unless ``cache_ttl`` says so.

    It does not claim to keep its deadline: the look-up of a host name, and an answer that comes in drops, can take
    longer than any time-out of the HTTP client. So its reads are made in a thread that can be left behind.
    """

    name = "vault"

    def __init__(self, options: VaultOptions) -> None:
        """Connect to nothing yet."""
        self._options = options
        self._lock = threading.Lock()
        self._clients: dict[VaultServer, VaultClient] = {}
        self._flights: SingleFlight[SecretFields] = SingleFlight()
        self._kept: dict[Hashable, tuple[float, SecretFields]] = {}

    @classmethod
    def from_settings(cls, options: Mapping[str, Any]) -> VaultSecretProvider:
        """Make one from ``secrets.vault``. Raises SettingsError."""
        return cls(read_options(options))

    def read(self, reference: SecretReference, *, deadline: float) -> SecretFields:
        """Give the fields of the secret at `reference.path`; ``?version=3`` asks a KV engine 2 for that version.

        Raises SecretsUnavailableError with the cause and what to do.
        """
        version = _version(reference)
        mount, path = self._options.locate(reference)
        key = (mount, path, version)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1].from_cache()
        now = time.monotonic()
        inner = deadline - min(_MARGIN, (deadline - now) / 10)

        def call() -> SecretFields:
            fields = self._client(mount.server).read(mount, path, version, inner)
            self._keep(key, mount.cache_ttl, fields)
            return fields

        try:
            return self._flights.share(key, call, inner)
        except VaultFailure as error:
            failure = error
        unavailable = SecretsUnavailableError(explain(failure, mount, path, version))
        unavailable.request_id = failure.request_id
        raise unavailable

    def describe(self) -> str:
        """Say for each server: its version, whether it is sealed, who we are, and how long the token is good for.

        Raises SecretsUnavailableError where one does not answer, is sealed or refuses us.
        """
        deadline = time.monotonic() + _DESCRIBE_SECONDS
        servers: dict[VaultServer, list[str]] = {}
        for mount in self._options.configured():
            servers.setdefault(mount.server, []).append(mount.path)
        lines = []
        failures = []
        for server, mounts in servers.items():
            try:
                standing = self._client(server).standing(deadline)
            except VaultFailure as failure:
                failures.append(explain_server(failure, server))
            else:
                lines.append(_line(server, mounts, standing))
        if failures:
            raise SecretsUnavailableError("; ".join([*failures, *lines]))
        return "; ".join(lines)

    def _client(self, server: VaultServer) -> VaultClient:
        with self._lock:
            if server not in self._clients:
                self._clients[server] = VaultClient(server)
            return self._clients[server]

    def _keep(self, key: Hashable, seconds: float, fields: SecretFields) -> None:
        if seconds <= 0:
            return
        now = time.monotonic()
        with self._lock:
            self._kept = {each: entry for each, entry in self._kept.items() if entry[0] > now}
            self._kept[key] = (now + seconds, fields)


def _version(reference: SecretReference) -> int | None:
    if unknown := sorted(reference.options.keys() - {"version"}):
        msg = f"the provider vault knows the option version only: leave out {', '.join(unknown)} after the ?"
        raise SecretsUnavailableError(msg)
    text = reference.options.get("version")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        msg = "?version= takes a whole number from 1 on, as shown by `vault kv metadata get`"
        raise SecretsUnavailableError(msg)
    return int(text)


def _line(server: VaultServer, mounts: list[str], standing: VaultStanding) -> str:
    role = "standby" if standing.standby else "active"
    left = "does not end" if standing.seconds_left is None else f"ends in {_span(standing.seconds_left)}"
    return (
        f"vault: {server.url} {standing.version}, unsealed, {role}; mounts {', '.join(mounts)}; we are {standing.name} "
        f"(policies: {', '.join(standing.policies) or 'none'}), whose token {left}"
    )


def _span(seconds: int) -> str:
    minutes = seconds // 60
    if minutes >= 60:  # noqa: PLR2004 - minutes of an hour
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
