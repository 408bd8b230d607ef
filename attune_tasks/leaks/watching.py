"""Watching an execution in a process of one's own: its surfaces are looked at in a thread while it runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attune_tasks.leaks.surface import Surface, Watched
from attune_tasks.proc import processes

__all__ = ["watching"]

_PAUSE: Final = 0.05
_COMM: Final = "attune-launcher\n"


@contextmanager
def watching(surfaces: Sequence[Surface], execution: Watched) -> Iterator[None]:
    """Begin, then look again and again until the block is over. The rows are then for the caller to ask for.

    The launcher is found: the one that was not there before, below this process.
    """
    before = set(_launchers())
    for surface in surfaces:
        surface.begin()
    over = threading.Event()
    faults: list[BaseException] = []

    def look() -> None:
        try:
            while True:
                is_last = over.is_set()
                if not execution.launcher_pid:
                    execution.launcher_pid = next((pid for pid in _launchers() if pid not in before), 0)
                for surface in surfaces:
                    surface.look([execution])
                if is_last:
                    return
                over.wait(_PAUSE)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            faults.append(error)

    thread = threading.Thread(target=look, name="attune-tasks-leaks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        execution.is_over = True
    if faults:
        raise faults[0]


def _launchers() -> Iterator[int]:
    """Give the launchers that this process has started; their forks, below them, have the same name."""
    for process in processes():
        if process.parent == os.getpid() and not process.is_zombie:
            try:
                name = Path(f"/proc/{process.pid}/comm").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if name == _COMM:
                yield process.pid
