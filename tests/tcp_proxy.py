"""A TCP proxy on the loopback interface: a test cuts a program off from a server, or hears what that one says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final

__all__ = ["TcpProxy"]

_CHUNK: Final = 1 << 16


class TcpProxy:
    """Passes bytes on to a port, until it is cut: then it drops all connections, and refuses new ones."""

    def __init__(self, target: int, heard: Callable[[int, bytes], None] | None = None) -> None:
        """Take a free port, and begin to listen there.

        `heard` is called with all that the server says, and with the connection's number; by a thread for each.
        """
        self._target = target
        self._heard = heard
        self._numbers = count()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.mend()

    def cut(self) -> None:
        """Drop all connections; refuse new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
            dropped, self._open = self._open, set()
        for each in (*([listener] if listener else ()), *dropped):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def mend(self) -> None:
        """Take connections again, on the same port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port = listener.getsockname()[1]
        with self._lock:
            self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # it was cut
            try:
                far = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                if self._listener is not listener:
                    near.close()
                    far.close()
                    return
                self._open |= {near, far}
            number = next(self._numbers)
            for one, other, heard in ((near, far, None), (far, near, self._heard)):
                threading.Thread(target=self._pass_on, args=(one, other, heard, number), daemon=True).start()

    def _pass_on(
        self, source: socket.socket, sink: socket.socket, heard: Callable[[int, bytes], None] | None, number: int
    ) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if heard is not None:
                    heard(number, data)
                sink.sendall(data)
        with self._lock:
            self._open -= {source, sink}
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
