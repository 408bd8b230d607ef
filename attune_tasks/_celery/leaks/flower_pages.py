"""Fetching pages of a Flower: by the standard library alone, bounded in bytes and time, with no proxy."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

__all__ = ["FlowerPages", "Page"]

_SECONDS: Final = 3.0
_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Page:
    """What was answered."""

    status: int
    """0: nothing."""
    data: bytes = b""
    is_whole: bool = True


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none: to a page for signing in there is nothing to see, and the password is for nobody else."""


class FlowerPages:
    """The pages of one Flower."""

    def __init__(self, url: str) -> None:
        """Take ``http://user:password@host:port/prefix``. Raises ValueError for another scheme, and no host."""
        parts, port, host = _parts_of(url)
        if parts is None or parts.scheme not in {"http", "https"} or not host:
            msg = (
                "Flower's address is http://host:port or https://host:port: --flower URL; where it asks who is there,"
                " --flower-login FILE"
            )
            raise ValueError(msg)
        host = f"[{host}]" if ":" in host else host
        address = f"{host}:{port}" if port else host
        self.shown = urlunsplit((parts.scheme, address, parts.path.rstrip("/"), "", ""))
        """The address, with no password in it."""
        self._headers = {"User-Agent": "attune-tasks leak-check"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._opener: OpenerDirector = build_opener(ProxyHandler({}), _NoRedirect())

    def get(self, path: str) -> Page:
        """Give what is at `path`, whatever the status is."""
        request = Request(self.shown + path, headers=self._headers)  # noqa: S310 - the scheme was looked at
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                return self._page(int(answer.status), answer)
        except HTTPError as error:
            with error:
                return self._page(error.code, error)
        except (URLError, OSError, ValueError):
            return Page(0)

    @staticmethod
    def _page(status: int, answer: Any) -> Page:
        try:
            data = answer.read(_BYTES + 1)
        except OSError:
            return Page(status, b"", is_whole=False)
        return Page(status, data[:_BYTES], len(data) <= _BYTES)

    @staticmethod
    def quoted(name: str) -> str:
        """Give a name as a part of a path."""
        return quote(name, safe="")


def _parts_of(url: str) -> tuple[SplitResult | None, int | None, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose text quotes what it takes for the port: `http://user:password`
        return None, None, ""
    return parts, port, parts.hostname or ""
