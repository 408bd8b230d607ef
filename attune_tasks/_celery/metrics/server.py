"""Serves a worker's figures at ``/metrics``, in a thread of its main process."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import Any, Final

from celery import Celery, bootsteps

from attune_tasks._celery.launchers_seen import launchers_below
from attune_tasks._celery.metrics.figures import FIGURES
from attune_tasks._celery.per_app import state_of
from attune_tasks.quiet_threads import start_quiet_thread

__all__ = ["MetricsStep", "ready"]

logger: Final = logging.getLogger("attune_tasks.metrics")

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_IDLE_SECONDS: Final = 10.0
_ATTRIBUTE: Final = "_attune_tasks_counters"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, port: int, text: Any) -> None:
        self.text = text
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        """Bind, and ask no name server what this host is called, as HTTPServer would."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of whoever goes away in the midst of an answer."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        """Answer."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND, explain="the figures are at /metrics")
            return
        text = self.server.text()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _CONTENT_TYPE)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Log nothing: it is asked each few seconds."""


class MetricsStep(bootsteps.StartStopStep):
    """Serves while the worker runs."""

    # A thread that runs while the pool forks may hold a lock there, which nobody releases in the new process.
    requires = ("celery.worker.components:Pool",)
    _server: _Server | None = None

    def start(self, parent: Any) -> None:
        """Begin to receive and to serve. A port that is taken costs the figures, not the worker."""
        app: Celery = parent.app
        settings = state_of(app).loaded.settings.metrics
        start_quiet_thread(FIGURES.receive, "attune-figures")
        try:
            server = _Server(settings.address, settings.port or 0, app.__dict__[_ATTRIBUTE].text)
        except OSError as error:
            where = f"{settings.address} port {settings.port}"
            logger.error("metrics can't be served at %s: %s", where, error.strerror or type(error).__name__)  # noqa: TRY400
            return
        self._server = server
        # A pool process which is forked later would keep the port when this worker has ended.
        os.register_at_fork(after_in_child=lambda: _close(server))
        start_quiet_thread(server.serve_forever, "attune-metrics")
        name = f"[{server.server_name}]" if ":" in server.server_name else server.server_name
        logger.info("metrics are served at http://%s:%s/metrics", name, server.server_port)

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - Celery's own
        """Serve no more."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    terminate = stop


def ready(app: Celery) -> None:
    """Have a worker that is about to be made count and serve, where the settings say so.

    Raises SystemExit, which says in one line what is missing.
    """
    state = state_of(app)
    if state.loaded.settings.metrics.port is None:
        return
    if find_spec("prometheus_client") is None:
        msg = "the worker is not started: metrics.port needs prometheus-client: pip install 'attune-tasks[metrics]'"
        raise SystemExit(msg)
    from attune_tasks._celery.metrics.counters import Counters

    main = os.getpid()
    counters = Counters(lambda ref: ref in state.registry, lambda: launchers_below(main))
    app.__dict__[_ATTRIBUTE] = counters
    FIGURES.open(counters.take)  # before pool processes are forked, which send by it
    app.steps["worker"].add(MetricsStep)


def _close(server: _Server) -> None:
    with suppress(OSError):
        server.socket.close()
