"""The running shop's site a second time, under WSGI."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.browser.example import Example
from tests.docs_blocks import ROOT
from tests.vault import free_port
from tests.waiting import wait_until

__all__ = ["wsgi_server"]


@contextmanager
def wsgi_server(example: Example) -> Iterator[int]:
    """Serve it by ``manage.py runserver``, on the same database and broker; give its port."""
    port = free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SHOP_DATA": str(example.folder / "data"),
        "ATTUNE_TASKS_CONFIG": str(example.folder / "attune-tasks.toml"),
    }
    with (example.folder / "logs" / "wsgi.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--insecure", "--noreload", f"127.0.0.1:{port}"],
            cwd=ROOT / "examples" / "django_shop",
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), "that the site answers", 40)
        assert process.poll() is None, example.logs()
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
