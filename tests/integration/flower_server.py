"""A real Flower as a process of our own, behind a password or open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from attune_tasks._celery.leaks.flower_pages import FlowerPages
from tests.integration.workers import Place
from tests.servers import used_server
from tests.vault import free_port
from tests.waiting import wait_until

__all__ = ["PASSWORD", "USER", "flower"]

USER, PASSWORD = "operator", "Fl0wer-p4ssword"


@contextmanager
def flower(place: Place, worker: str, log: str, *arguments: str) -> Iterator[str]:
    """Run a Flower, and give its address when it knows the worker."""
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "attune_tasks.app", "flower"]
    path: Path = place.folder / log
    with (
        path.open("wb") as output,
        subprocess.Popen(
            [*command, f"--port={port}", "--address=127.0.0.1", *arguments],
            cwd=place.folder,
            env=place.environ(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            pages = FlowerPages(f"http://{USER}:{PASSWORD}@127.0.0.1:{port}")
            wait_until(lambda: pages.get(f"/worker/{worker}").status == 200, f"a Flower, see {path}", 30)
            used_server("flower", version("flower"), "its pages and its API")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)
