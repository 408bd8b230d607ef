"""What the provider ``vault`` is told: the servers, who we are there, and which mount is where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from attune_tasks.errors import SecretsUnavailableError, SettingsError
from attune_tasks.secrets.references import SecretReference

__all__ = ["VaultMount", "VaultOptions", "VaultServer", "read_options"]

_SETTINGS: Final = "secrets.vault"
_URL: Final = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#@]*)?")
_HEADER: Final = re.compile(r"[!-~]+")
_OWN: Final = ("url", "namespace", "token", "token_file", "approle")
"""What says where a mount is and who we are there."""


@dataclass(frozen=True, slots=True)
class VaultServer:
    """One Vault, and who we are there. Mounts with equal ones share a client and its login."""

    setting: str
    """Where it is set, for messages, as ``secrets.vault``."""
    url: str
    namespace: str | None
    token: str | None = field(repr=False)
    token_file: Path | None
    role_id: str | None
    secret_id_file: Path | None
    approle_mount: str
    ca_file: Path | None
    client_cert: Path | None
    client_key: Path | None
    timeout: float
    """Seconds for one request."""


@dataclass(frozen=True, slots=True)
class VaultMount:
    """Where one KV engine is."""

    path: str
    server: VaultServer
    kv_version: int | None
    cache_ttl: float


class VaultOptions:
    """All mounts that were set, and the one for references that name none."""

    def __init__(self, default: VaultMount | None, default_path: str, mounts: Mapping[str, VaultMount]) -> None:
        """Take the default mount (None: no server was set for it) and the others, by path."""
        self._default = default
        self._default_path = default_path
        self._mounts = mounts

    def locate(self, reference: SecretReference) -> tuple[VaultMount, str]:
        """Give the mount and the path within it. Raises SecretsUnavailableError where the reference has no path."""
        if not reference.scheme_given:
            return self._mount(self._default_path), reference.path
        known = [path for path in (*self._mounts, self._default_path) if reference.path.startswith(f"{path}/")]
        mount = max(known, key=len, default=reference.path.partition("/")[0])
        path = reference.path[len(mount) + 1 :]
        if not path:
            msg = f"there is no path after the mount {mount!r}: write vault://<mount>/<path>#<field>"
            raise SecretsUnavailableError(msg)
        return self._mount(mount), path

    def configured(self) -> list[VaultMount]:
        """Give the mounts that were named, the default first."""
        first = [self._default] if self._default and self._default_path not in self._mounts else []
        return [*first, *self._mounts.values()]

    def _mount(self, path: str) -> VaultMount:
        if path in self._mounts:
            return self._mounts[path]
        if self._default is None:
            msg = f"secrets.vault.url is not set, and secrets.vault.mounts does not name {path!r}"
            raise SecretsUnavailableError(msg)
        if path == self._default_path:
            return self._default
        # Its neighbours on the same server; they may be of another version.
        return VaultMount(path, self._default.server, None, self._default.cache_ttl)


def read_options(options: Mapping[str, Any]) -> VaultOptions:
    """Read ``secrets.vault``. Raises SettingsError where no server, or not one way to log in, is set."""
    default_path = _path(options["mount"])
    default = _mount(_SETTINGS, default_path, options) if options["url"] else None
    mounts = {}
    for name, given in options["mounts"].items():
        setting = f"{_SETTINGS}.mounts.{name}"
        merged = {**options, **given}
        if given.get("url"):
            # Never this server's token, nor its certificates, for another.
            merged = dict.fromkeys(options) | {"timeout": options["timeout"], "cache_ttl": 0.0, "approle": {}} | given
        elif any(given.get(key) for key in ("token", "token_file", "approle")):
            merged |= {key: given.get(key) for key in ("token", "token_file")} | {"approle": given.get("approle", {})}
        path = _path(name)
        mounts[path] = _mount(setting if any(given.get(key) for key in _OWN) else _SETTINGS, path, merged)
    if default is None and not mounts:
        msg = "secrets.vault.url is not set: name the server, as https://vault.example.net:8200"
        raise SettingsError(msg)
    return VaultOptions(default, default_path, mounts)


def _path(mount: str) -> str:
    path = mount.strip("/")
    if not path:
        msg = "secrets.vault: the name of a mount is empty"
        raise SettingsError(msg)
    return path


def _mount(setting: str, path: str, options: Mapping[str, Any]) -> VaultMount:
    approle = options["approle"] or {}
    server = VaultServer(
        setting=setting,
        url=_url(setting, options["url"]),
        namespace=options["namespace"],
        token=options["token"],
        token_file=options["token_file"],
        role_id=approle.get("role_id"),
        secret_id_file=approle.get("secret_id_file"),
        approle_mount=_path(approle.get("mount", "approle")),
        ca_file=options["ca_file"],
        client_cert=options["client_cert"],
        client_key=options["client_key"],
        timeout=options["timeout"],
    )
    given = [server.token, server.token_file, server.role_id]
    if sum(each is not None for each in given) != 1:
        msg = f"{setting}: set one way to log in: token, token_file, or approle.role_id with approle.secret_id_file"
        raise SettingsError(msg)
    # What is no header would be quoted by the HTTP client's own error.
    for name, value in (("token", server.token), ("namespace", server.namespace)):
        if value is not None and not _HEADER.fullmatch(value):
            msg = f"{setting}.{name}: holds a space, or a character that a header can't carry"
            raise SettingsError(msg)
    if server.client_key is not None and server.client_cert is None:
        msg = f"{setting}.client_key is set without client_cert"
        raise SettingsError(msg)
    return VaultMount(path, server, options["kv_version"], options["cache_ttl"])


def _url(setting: str, url: str | None) -> str:
    if url is None or not _URL.fullmatch(url):
        msg = f"{setting}.url: write it as https://host:port, without user, password or query"
        raise SettingsError(msg)
    return url.rstrip("/")
