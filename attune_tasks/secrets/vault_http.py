"""hvac's way to Vault, with what it lacks: a deadline over all tries, retries, and errors that quote nothing."""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import requests
from hvac import Client
from hvac.adapters import JSONAdapter, RawAdapter
from requests.adapters import HTTPAdapter

from attune_tasks.secrets.vault_failures import VaultFailure
from attune_tasks.secrets.vault_options import VaultServer

__all__ = ["DeadlineAdapter", "connect", "request_id_of"]

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_CONNECTIONS: Final = 32
"""Kept per process; threads beyond them open one for a request."""
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_AGAIN: Final = frozenset({412, _TOO_MANY, 472, 473})
"""Besides 5xx: not yet replicated, too many requests, and what disaster-recovery and performance standbys answer."""
_REQUEST_ID: Final = re.compile(r"[0-9a-fA-F-]{8,64}")
_FINAL: Final = {400: "request", 403: "denied", 404: "absent"}


class _Session(requests.Session):
    """Takes nothing from the environment, and never follows a standby from TLS to plain text with the token."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # else REQUESTS_CA_BUNDLE and proxies from the environment win over the settings
        self.max_redirects = 2
        self.mount("https://", HTTPAdapter(pool_maxsize=_CONNECTIONS))
        self.mount("http://", HTTPAdapter(pool_maxsize=_CONNECTIONS))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        safe = target is not None and (target.startswith(("https://", "/")) or not resp.url.startswith("https://"))
        return target if safe else None


class _Limits(threading.local):
    """Until when this thread's requests may go on, by time.monotonic()."""

    deadline = 0.0


class DeadlineAdapter(JSONAdapter):  # type: ignore[misc] # hvac ships no types
    """Tries each request again until it is answered for good or the time is over. Raises VaultFailure only."""

    def __init__(self, **options: Any) -> None:
        """Take hvac's options; `timeout` is in seconds for one request."""
        super().__init__(**options)
        self._limits = _Limits()
        self._timeout: float = options["timeout"]

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Let this thread's requests go on until `deadline`, by time.monotonic()."""
        before, self._limits.deadline = self._limits.deadline, deadline
        try:
            yield
        finally:
            self._limits.deadline = before

    def remaining(self) -> float:
        """Give the seconds that this thread has left; 0 where the time is over."""
        return max(0.0, self._limits.deadline - time.monotonic())

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Send a request; give the JSON object of its answer, or {} where there is none."""
        options.pop("raise_exception", None)
        pause = _FIRST_PAUSE
        failure = VaultFailure("silent")
        while remaining := self.remaining():
            failure, asked, response = self._try(method, url, min(self._timeout, remaining), options)
            if response is not None:
                return _json(response)
            wait = pause * random.uniform(0.5, 1.0) if asked is None else asked  # noqa: S311 - spreads the tries of many
            if wait < 0 or wait >= self.remaining():
                break
            time.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise failure

    def _try(
        self, method: str, url: str, timeout: float, options: Mapping[str, Any]
    ) -> tuple[VaultFailure, float | None, requests.Response | None]:
        """Give an answer; or why there is none, and how long to wait (None: as usual; below 0: trying is useless)."""
        try:
            response = RawAdapter.request(self, method, url, raise_exception=False, **{**options, "timeout": timeout})
        except (requests.RequestException, OSError, ValueError) as error:
            return *_of_error(error), None
        if response.ok and not response.is_redirect:
            return VaultFailure("answer"), None, response
        return *_of_answer(response), None


def connect(server: VaultServer) -> Client:
    """Make the client for `server`: its session is kept, and is this process's own. It has no token yet."""
    session = _Session()
    session.verify = str(server.ca_file) if server.ca_file else True
    if server.client_cert:
        cert = str(server.client_cert)
        session.cert = (cert, str(server.client_key)) if server.client_key else cert
    return Client(
        url=server.url,
        token="",  # not None: hvac would look for one in the environment and in ~/.vault-token
        verify=session.verify,
        cert=session.cert,
        timeout=server.timeout,
        session=session,
        namespace=server.namespace,
        adapter=DeadlineAdapter,
    )


def _of_error(error: Exception) -> tuple[VaultFailure, float | None]:
    """Tell an exception by the classes within it: its text may quote a header."""
    within = list(_within(error))
    names = {type(each).__name__ for each in within}
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in within):
        refused = next(each for each in within if isinstance(each, ssl.SSLCertVerificationError))
        return VaultFailure("certificate", refused.verify_message), -1
    if isinstance(error, requests.exceptions.SSLError) and not names & {"SSLEOFError", "SSLZeroReturnError"}:
        library = next((each.reason for each in within if isinstance(each, ssl.SSLError) and each.reason), "")
        return VaultFailure("tls", library or type(error).__name__), -1
    if isinstance(error, requests.Timeout):
        return VaultFailure("silent"), None
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        system = next((each.strerror for each in within if isinstance(each, OSError) and each.strerror), "")
        return VaultFailure("unreachable", system or type(error).__name__), None
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return VaultFailure("certificate_file"), -1
    return VaultFailure("request", type(error).__name__), -1


def _within(error: Any) -> Iterator[Any]:
    """Give an exception and those that it was made from: urllib3 hands them on as arguments and as `reason`."""
    seen: list[Any] = []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and not any(each is other for other in seen):
            seen.append(each)
            waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
            yield each


def _of_answer(response: requests.Response) -> tuple[VaultFailure, float | None]:
    status = response.status_code
    if response.is_redirect:
        return VaultFailure("redirect", str(status)), -1
    if status == _TOO_MANY:
        asked = response.headers.get("Retry-After", "")
        wait = float(asked) if asked.isascii() and asked.isdigit() else None
        return VaultFailure("busy", f"retry after {wait:g} s" if wait else "no Retry-After"), wait
    if status in _AGAIN or status >= _SERVER_ERROR:
        body = response.text.lower()  # looked at, never quoted
        if "sealed" in body:
            return VaultFailure("sealed"), None
        if "standby" in body or "active" in body:
            return VaultFailure("standby", str(status)), None
        return VaultFailure("unready", str(status)), None
    reason = _FINAL.get(status, "request")
    answer = _json(response) if reason == "absent" else {}
    return VaultFailure(_why_absent(answer) if answer else reason, f"HTTP {status}", request_id_of(answer)), -1


def request_id_of(answer: Mapping[str, object]) -> str | None:
    """Give the id by which Vault's audit log has the request, where an answer holds it and it looks like one."""
    found = answer.get("request_id")
    return found if isinstance(found, str) and _REQUEST_ID.fullmatch(found) else None


def _why_absent(answer: Mapping[str, object]) -> str:
    """Tell a version that was deleted from a secret that never was."""
    data = answer.get("data")
    metadata = data.get("metadata") if isinstance(data, dict) else None
    if not isinstance(metadata, dict):
        return "absent"
    return "destroyed" if metadata.get("destroyed") else "deleted" if metadata.get("deletion_time") else "absent"


def _json(response: requests.Response) -> dict[str, Any]:
    body: Any = {}
    if response.content:
        try:
            body = response.json()
        except ValueError:
            body = None
    if not isinstance(body, dict):
        if response.ok:
            failure = "answer"
            raise VaultFailure(failure)
        return {}
    return body
