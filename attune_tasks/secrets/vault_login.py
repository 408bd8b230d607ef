"""Who we are at a Vault: one token for all threads of a process, renewed in time, had anew when it is refused."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hvac import Client

from attune_tasks.secrets.vault_failures import VaultFailure
from attune_tasks.secrets.vault_options import VaultServer

__all__ = ["VaultLogin"]

_RENEW_AT: Final = 2 / 3
"""Of a token's life, as Vault's own agent does."""
_FRESH: Final = 60.0
"""Seconds for which a token that lives is not replaced when it is refused: a policy is missing, not a login."""
_LARGEST: Final = 64 * 1024
_Signature = tuple[int, int, int]


class VaultLogin:
    """Sees that the client has a token which is good, as far as can be known; used from several threads."""

    def __init__(self, client: Client, server: VaultServer) -> None:
        """Do nothing yet: the first :meth:`ensure` logs in."""
        self._client = client
        self._server = server
        self._lock = threading.Lock()
        self._generation = 0
        self._made = 0.0
        self._renew_at: float | None = None
        self._renewable = False
        self._signature: _Signature | None = None

    def ensure(self) -> int:
        """Log in where that is still to be done, renew where it is time; give the login's number.

        Raises VaultFailure.
        """
        with self._locked():
            if self._generation == 0:
                self._obtain()
            elif self._file_changed():
                self._obtain_from_changed_file()
            elif self._renew_at is not None and time.monotonic() >= self._renew_at:
                self._renew()
            return self._generation

    def replaced(self, number: int) -> bool:
        """Tell whether there is a newer login than `number`, which Vault refused; it is made now if need be.

        Raises VaultFailure where the token is no longer good and no other is to be had.
        """
        with self._locked():
            if self._generation != number:
                return True
            if self._file_changed():
                self._obtain()
                return True
            if self._server.role_id is None:
                self._check()
                return False
            if self._lives() and time.monotonic() - self._made < _FRESH:
                return False
            self._obtain()
            return True

    def check(self) -> None:
        """Raise VaultFailure where the token is no longer good."""
        with self._locked():
            self._check()

    def _check(self) -> None:
        if not self._lives():
            dead = "token"
            raise VaultFailure(dead)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock.acquire(timeout=self._client.adapter.remaining()):
            silent = "silent"
            raise VaultFailure(silent)
        try:
            yield
        finally:
            self._lock.release()

    def _obtain(self) -> None:
        if self._server.role_id is not None:
            self._keep(self._log_in())
        else:
            self._client.token = self._given_token()
            self._keep(self._look_up())

    def _obtain_from_changed_file(self) -> None:
        try:
            self._obtain()
        except VaultFailure as error:
            if error.reason != "token_file":  # it is just being written: the token that we have may serve
                raise

    def _log_in(self) -> Mapping[str, Any]:
        path = self._server.secret_id_file
        secret_id = _read_private(path, "secret_id_file")[0] if path else None
        failure = ""
        try:
            answer = self._client.auth.approle.login(
                self._server.role_id, secret_id, use_token=False, mount_point=self._server.approle_mount
            )
        except VaultFailure as error:
            if error.reason not in {"request", "denied", "absent"}:
                raise
            failure = error.detail
        if failure:
            refused = "login"
            raise VaultFailure(refused, failure)
        auth = answer.get("auth")
        if not isinstance(auth, dict) or not isinstance(auth.get("client_token"), str):
            strange = "answer"
            raise VaultFailure(strange)
        self._client.token = auth["client_token"]
        return {"ttl": auth.get("lease_duration"), "renewable": auth.get("renewable")}

    def _given_token(self) -> str:
        path = self._server.token_file
        if path is None:
            return self._server.token or ""
        token, self._signature = _read_private(path, "token_file")
        return token

    def _file_changed(self) -> bool:
        """Tell whether there is another token in the file. One that is just being replaced may be away."""
        if self._server.token_file is None:
            return False
        try:
            return _signature(self._server.token_file.stat()) != self._signature
        except OSError:
            return False

    def _look_up(self) -> Mapping[str, Any]:
        """Ask how long a token lives that we were given; its policy may not let us know."""
        try:
            data = self._client.auth.token.lookup_self().get("data")
        except VaultFailure as error:
            if error.reason != "denied":
                raise
            return {}
        return data if isinstance(data, dict) else {}

    def _lives(self) -> bool:
        try:
            self._client.auth.token.lookup_self()
        except VaultFailure as error:
            if error.reason != "denied":
                raise
            return False
        return True

    def _keep(self, life: Mapping[str, Any]) -> None:
        self._generation += 1
        self._made = time.monotonic()
        self._plan(life)

    def _plan(self, life: Mapping[str, Any]) -> None:
        ttl = life.get("ttl")
        ends = isinstance(ttl, int) and ttl > 0  # 0: a root token, which does not end
        self._renew_at = time.monotonic() + ttl * _RENEW_AT if ends and ttl else None
        self._renewable = life.get("renewable") is True

    def _renew(self) -> None:
        """Renew the token, or log in anew where it can't be. A token that we were given is used until it is refused."""
        if self._renewable:
            try:
                auth = self._client.auth.token.renew_self().get("auth") or {}
            except VaultFailure as error:
                if error.reason not in {"request", "denied"}:
                    raise
            else:
                self._plan({"ttl": auth.get("lease_duration"), "renewable": auth.get("renewable")})
                return
        if self._server.role_id is not None:
            self._obtain()
        else:
            self._renew_at = None


def _signature(status: os.stat_result) -> _Signature:
    return status.st_mtime_ns, status.st_ino, status.st_size


def _read_private(path: Path, reason: str) -> tuple[str, _Signature]:
    """Read the one line of a file that not everyone may read. Raises VaultFailure(reason)."""
    fault = ""
    content = b""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for its writer
    except OSError as error:
        fault = f"{path} can't be opened: {error.strerror}"
    if fault:
        raise VaultFailure(reason, fault)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            fault = f"{path} is no regular file"
        elif status.st_mode & 0o007:
            fault = f"{path} is open to all users (mode {stat.S_IMODE(status.st_mode):04o}): run `chmod o= {path}`"
        else:
            content = file.read(_LARGEST).strip()
            # What is no header would be quoted by the HTTP client's own error.
            if not content or any(byte < 0x21 or byte > 0x7E for byte in content):  # noqa: PLR2004 - printable ASCII
                fault = f"{path} does not hold one word of printable ASCII"
    if fault:
        raise VaultFailure(reason, fault)
    return content.decode("ascii"), _signature(status)
