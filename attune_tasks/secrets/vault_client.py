"""One Vault server, as one process uses it: a kept connection, a login, and reads of KV engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from attune_tasks.secrets.records import SecretFields
from attune_tasks.secrets.vault_failures import VaultFailure
from attune_tasks.secrets.vault_http import connect, request_id_of
from attune_tasks.secrets.vault_login import VaultLogin
from attune_tasks.secrets.vault_options import VaultMount, VaultServer

__all__ = ["VaultClient", "VaultStanding"]

_T = TypeVar("_T")
_UNCONFIGURED: Final = {"sealed_code": 200, "uninit_code": 200, "standby_code": 200, "performance_standby_code": 200}


class VaultStanding(NamedTuple):
    """What a server says of itself and of us."""

    version: str
    standby: bool
    name: str
    policies: tuple[str, ...]
    seconds_left: int | None
    """Of the token; None: it does not end."""


class VaultClient:
    """Reads secrets of one server, for several threads."""

    def __init__(self, server: VaultServer) -> None:
        """Connect to nothing yet. Not to be used by a process forked from this one."""
        self._client = connect(server)
        self._login = VaultLogin(self._client, server)
        self._kv_versions: dict[str, int] = {}

    def read(self, mount: VaultMount, path: str, version: int | None, deadline: float) -> SecretFields:
        """Give the fields of a secret, by time.monotonic() `deadline`. Raises VaultFailure."""
        with self._client.adapter.until(deadline):
            return self._as_ourselves(lambda: self._read(mount, path, version))

    def standing(self, deadline: float) -> VaultStanding:
        """Ask the server how it is and who we are. Raises VaultFailure."""
        with self._client.adapter.until(deadline):
            health = self._client.sys.read_health_status(method="GET", **_UNCONFIGURED)
            if health.get("sealed") is not False:
                reason = "sealed_of_version" if health.get("sealed") else "answer"
                raise VaultFailure(reason, str(health.get("version", "")))
            us = self._as_ourselves(self._look_up)
        policies = sorted({*(us.get("policies") or ()), *(us.get("identity_policies") or ())})
        ttl = us.get("ttl")
        return VaultStanding(
            version=str(health.get("version")),
            standby=health.get("standby") is True,
            name=str(us.get("display_name")),
            policies=tuple(map(str, policies)),
            seconds_left=ttl if isinstance(ttl, int) and ttl > 0 else None,
        )

    def _as_ourselves(self, call: Callable[[], _T]) -> _T:
        """Make a call that needs a token, and once more where Vault refused it and another could be had."""
        number = self._login.ensure()
        try:
            return call()
        except VaultFailure as failure:
            if failure.reason != "denied":
                raise
            denied = failure
        if self._login.replaced(number):
            try:
                return call()
            except VaultFailure as failure:
                if failure.reason != "denied":
                    raise
                denied = failure
            self._login.check()
        raise denied

    def _look_up(self) -> Mapping[str, Any]:
        data = self._client.auth.token.lookup_self().get("data")
        return data if isinstance(data, dict) else {}

    def _read(self, mount: VaultMount, path: str, version: int | None) -> SecretFields:
        kv_version = self._kv_version(mount)
        try:
            if kv_version == 1:
                _refuse_version(version)
                answer = self._client.secrets.kv.v1.read_secret(path, mount_point=mount.path)
                return SecretFields(_fields(answer), request_id=request_id_of(answer))
            answer = self._client.secrets.kv.v2.read_secret_version(
                path, version=version, mount_point=mount.path, raise_on_deleted_version=True
            )
            data = _fields(answer)
            return SecretFields(_fields(data), version=_version_of(data), request_id=request_id_of(answer))
        except VaultFailure as failure:
            if failure.reason == "absent":
                self._kv_versions.pop(mount.path, None)  # the mount may have been upgraded, or made anew
            if failure.reason != "denied":
                raise
            request_id = failure.request_id
        denied = "denied"
        raise VaultFailure(denied, str(kv_version), request_id)

    def _kv_version(self, mount: VaultMount) -> int:
        if mount.kv_version is not None:
            return mount.kv_version
        if mount.path not in self._kv_versions:
            # Vault answers this to whoever may do anything below the mount.
            data = _fields(self._client.adapter.get(f"/v1/sys/internal/ui/mounts/{quote(mount.path)}"))
            if data.get("type") not in {"kv", "generic"}:
                not_kv = "not_kv"
                raise VaultFailure(not_kv)
            options = data.get("options")
            self._kv_versions[mount.path] = 2 if isinstance(options, dict) and options.get("version") == "2" else 1
        return self._kv_versions[mount.path]


def _refuse_version(version: int | None) -> None:
    if version is not None:
        no_versions = "no_versions"
        raise VaultFailure(no_versions)


def _version_of(data: Mapping[str, object]) -> int | None:
    """Give which version of a secret an engine of version 2 has answered with."""
    metadata = data.get("metadata")
    version = metadata.get("version") if isinstance(metadata, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def _fields(answer: Mapping[str, object]) -> Mapping[str, object]:
    data = answer.get("data")
    if not isinstance(data, dict):
        strange = "answer"
        raise VaultFailure(strange)
    return data
