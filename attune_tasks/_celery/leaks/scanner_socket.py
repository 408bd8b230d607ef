"""How a worker's processes talk to the scanner: one JSON object each way, over a Unix socket without a file.

The name of the socket is random, made before pool processes are forked. Either side looks at who the other one is
(unix(7), SO_PEERCRED): another user may take the name, and gets nothing.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import struct
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any, Final

from attune_tasks.errors import AttuneTasksError
from attune_tasks.proc import parent_of

__all__ = ["RecordsServer", "ScannerServer", "ask_scanner", "connect_for_records", "log_address", "new_address"]

_SECONDS: Final = 5.0
_LONGEST: Final = 1 << 24
_LONGEST_RECORD: Final = 1 << 17
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid

Answer = Callable[[Mapping[str, Any], int], Mapping[str, Any]]


def new_address() -> str:
    """Give a name for a socket in Linux's abstract namespace."""
    return f"\0attune-leak-check-{token_hex(16)}"


def log_address(address: str) -> str:
    """Give the name of the socket that takes log records, a message each."""
    return f"{address}-log"


def ask_scanner(address: str, main_pid: int, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give the scanner's answer. Raises AttuneTasksError where it can't be reached, or is not this worker's scanner."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(address)
            if _is_scanner(connection, main_pid):
                connection.sendall(json.dumps(request).encode() + b"\n")
                return dict(json.loads(_read_line(connection)))
    except (OSError, ValueError, TypeError) as error:
        cause = type(error).__name__  # not its text, which may quote an answer
    else:
        cause = "another process has its name"
    msg = f"the scanner of leak-check can't be reached ({cause}): begin the check again"
    raise AttuneTasksError(msg)


def connect_for_records(address: str, main_pid: int) -> socket.socket | None:
    """Connect to who takes log records; None where nobody does, or it is not this worker's scanner.

    Sending to it does not wait.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.setblocking(False)  # noqa: FBT003 - the socket's own
        connection.connect(log_address(address))
        if _is_scanner(connection, main_pid):
            return connection
    except OSError:
        pass
    connection.close()
    return None


class ScannerServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers the worker's own processes, each request in a thread."""

    daemon_threads = True

    def __init__(self, address: str, main_pid: int, answer: Answer) -> None:
        """Listen; `answer` gets a request and the pid it comes from."""
        self._main_pid = main_pid
        self._answer = answer
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - its base's
        """Take requests of the worker's main process, and of what runs below it as the same user."""
        pid, uid = _peer(request)
        while uid == os.geteuid() and pid > 1:
            if pid == self._main_pid:
                return True
            pid = parent_of(pid)
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of what went wrong: a traceback may hold values. Who asked gets no answer."""

    def answer(self, connection: socket.socket) -> None:
        """Answer one request."""
        connection.settimeout(_SECONDS)
        request = json.loads(_read_line(connection))
        connection.sendall(json.dumps(self._answer(request, _peer(connection)[0])).encode() + b"\n")


class RecordsServer(ScannerServer):
    """Takes log records of the worker's own processes, each process's in a thread."""

    socket_type = socket.SOCK_SEQPACKET

    def __init__(self, address: str, main_pid: int, take: Callable[[bytes], None]) -> None:
        """Listen; `take` gets a message."""
        self._take = take
        super().__init__(log_address(address), main_pid, lambda *_: {})

    def answer(self, connection: socket.socket) -> None:
        """Take what a process says, until it has no more to say."""
        while message := connection.recv(_LONGEST_RECORD):
            self._take(message)


class _Handler(socketserver.BaseRequestHandler):
    server: ScannerServer

    def handle(self) -> None:
        self.server.answer(self.request)


def _is_scanner(connection: socket.socket, main_pid: int) -> bool:
    pid, uid = _peer(connection)
    return uid == os.geteuid() and parent_of(pid) == main_pid


def _peer(connection: socket.socket) -> tuple[int, int]:
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def _read_line(connection: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        piece = connection.recv(1 << 16)
        if not piece or len(data) > _LONGEST:
            raise ConnectionResetError
        data += piece
    return bytes(data)
