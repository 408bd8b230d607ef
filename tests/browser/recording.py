"""All that servers tell a browser, byte for byte, and whether a secret is among it."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from attune_tasks.leaks.seeker import ValueSeeker
from tests.tcp_proxy import TcpProxy

__all__ = ["Recording"]


class Recording:
    """Stands between a browser and servers. Heads, pages, scripts, JSON, event streams: all of it passes here."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Look for `secrets`, in every form that leak-check knows."""
        self._seeker = ValueSeeker()
        self._seeker.add(1, secrets)
        assert self._seeker.ignored == []
        self._lock = threading.Lock()
        self._heard: dict[tuple[int, int], bytearray] = {}
        self._proxies: list[TcpProxy] = []
        self._windows = 0

    def before(self, port: int) -> int:
        """Give a port at which what is at `port` can be had, with all that it says recorded."""
        place = len(self._proxies)

        def heard(number: int, data: bytes) -> None:
            with self._lock:
                self._heard.setdefault((place, number), bytearray()).extend(data)

        proxy = TcpProxy(port, heard)
        self._proxies.append(proxy)
        return proxy.port

    def open(self) -> None:
        """Begin anew, unless another window is open."""
        if not self._windows:
            self.forget()
        self._windows += 1

    def shut(self) -> None:
        """Count a window less."""
        self._windows -= 1

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._heard.clear()

    def heard(self) -> bytes:
        """Give all of it."""
        with self._lock:
            return b"\n".join(map(bytes, self._heard.values()))

    def leaks(self) -> list[str]:
        """Give the names of the secrets that were told, in whatever form."""
        heard = self.heard()
        assert b"content-encoding: gzip" not in heard.lower()  # it could not be read
        return [f"{found.secret} ({found.variant})" for found in self._seeker.find(heard)]

    def leaks_in(self, text: str) -> list[str]:
        """Give those that stand in a text, as that of a page with all that its scripts put there."""
        return [f"{found.secret} ({found.variant})" for found in self._seeker.find(text.encode())]

    def close(self) -> None:
        """Take no more."""
        for proxy in self._proxies:
            proxy.cut()
