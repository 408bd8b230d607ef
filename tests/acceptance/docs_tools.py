"""How tools are looked at while they have a secret: by the servers that they talk to, and before they begin."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from attune_tasks.proc import below, read

__all__ = ["Looks", "http_server", "install_tools", "postgres_server"]

_PACKAGES = {"curl": "curl", "git": "git", "psql": "postgresql-client", "ssh-add": "openssh-client"}
_GIT_REFS = b"a" * 40 + b"\trefs/heads/main\n"


class Looks:
    """What was seen of processes, and what servers were sent."""

    def __init__(self, record: Path) -> None:
        """Programs of :func:`install_tools` write to `record`."""
        self.record = record
        self.sent: list[str] = []
        self._seen: list[bytes] = []

    def look(self, sent: str) -> None:
        """Look at every process below this one, on behalf of a server that has been sent something."""
        self.sent.append(sent)
        for process in below(os.getpid()):
            for name in ("cmdline", "environ"):
                self._seen += read(process.pid, name) or []

    def seen(self) -> str:
        """Give all arguments and variables that were seen."""
        recorded = self.record.read_bytes() if self.record.exists() else b""
        return (b"\n".join(self._seen) + recorded.replace(b"\0", b"\n")).decode(errors="replace")


def install_tools(folder: Path, looks: Looks, *names: str, stand_ins: dict[str, str]) -> str:
    """Put programs before the real ones, which note their arguments and variables, then become the real ones.

    `stand_ins` are the bodies, in bash, of programs that are not expected here. Gives the PATH.
    """
    folder.mkdir()
    bodies = dict(stand_ins)
    for name in names:
        real = shutil.which(name)
        assert real, f"this test needs {name}; type: apt-get install {_PACKAGES[name]}"
        bodies[name] = f'exec {real} "$@"'
    for name, body in bodies.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\ncat /proc/$$/cmdline /proc/$$/environ >>{looks.record}\n{body}\n")
        path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@contextmanager
def http_server(looks: Looks) -> Iterator[str]:
    """Serve a page and a git repository that asks for a password; look at every request that brings one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization")
            if authorization is None:
                self.answer(401, b"")
                return
            looks.look(authorization)
            self.answer(200, _GIT_REFS if "info/refs" in self.path else b"ref: refs/heads/main\n")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("WWW-Authenticate", 'Basic realm="tests"')
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def postgres_server(looks: Looks) -> Iterator[int]:
    """Speak as much of PostgreSQL's protocol 3 as one psql needs: a password in clear text, one query, the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:

            def receive() -> bytes:
                (length,) = struct.unpack("!i", stream.read(4))
                return stream.read(length - 4)

            def send(*messages: bytes) -> None:
                stream.write(b"".join(messages))
                stream.flush()

            # Requests for TLS (80877103) and GSSAPI (80877104) come first, and are declined.
            while receive()[:4] in (struct.pack("!i", 80877103), struct.pack("!i", 80877104)):
                send(b"N")
            send(b"R", struct.pack("!ii", 8, 3))
            assert stream.read(1) == b"p"
            looks.look(receive().rstrip(b"\0").decode())
            ready = b"Z" + struct.pack("!i", 5) + b"I"
            send(b"R", struct.pack("!ii", 8, 0), ready)
            while stream.read(1) == b"Q":
                receive()
                send(b"C", struct.pack("!i", 13), b"SELECT 1\0", ready)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join()
        listener.close()
