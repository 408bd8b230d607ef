"""The scanner: a process of its own, so that no canary is in the memory of the worker's main process.

``python -m attune_tasks._celery.leaks.scanner``, with a pickled ScannerTask on standard input: started by the worker's
main process only.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import threading
from functools import partial
from typing import Any

from attune_tasks._celery.leaks.all_surfaces import all_surfaces
from attune_tasks._celery.leaks.check import Check, Tell
from attune_tasks._celery.leaks.controls import CONTROLS, SentControl, remove_parked, send_control
from attune_tasks._celery.leaks.log import LogSurface
from attune_tasks._celery.leaks.names import SCANNER_COMMAND
from attune_tasks._celery.leaks.scanner_socket import RecordsServer, ScannerServer
from attune_tasks._celery.leaks.scanner_task import ScannerTask
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.undumpable import become_undumpable
from attune_tasks.errors import place_of
from attune_tasks.leaks import ValueSeeker

__all__ = ["main"]


def main() -> int:
    """Run one check."""
    become_undumpable()
    sys.excepthook = _tell_place_only
    task: ScannerTask = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - of our own parent, over a pipe
    if os.getppid() != task.main_pid:
        return 1
    task.app.set_current()
    seeker = ValueSeeker()
    surfaces = all_surfaces(task, seeker)
    state = state_of(task.app)
    has_controls = state.loaded.settings.leak_check.controls
    check = Check(state.registry, task.main_pid, seeker, surfaces, partial(_send, task) if has_controls else None)
    logs = [surface for surface in surfaces if isinstance(surface, LogSurface)]
    with (
        ScannerServer(task.address, task.main_pid, check.answer) as server,
        RecordsServer(task.address, task.main_pid, partial(_take_record, logs)) as records,
    ):
        for each in (server, records):
            threading.Thread(target=each.serve_forever, daemon=True).start()
        check.run(lambda: os.getppid() == task.main_pid)
        for each in (server, records):
            each.shutdown()
    if has_controls:
        remove_parked(task.app)
    return 0


def _send(task: ScannerTask, number: int, value: str, tell: Tell, seconds: int) -> SentControl:
    """Send a control whose message leaks."""
    return send_control(task.app, CONTROLS[number], value, tell, seconds=seconds, queue=task.queue)


def _take_record(surfaces: list[LogSurface], message: bytes) -> None:
    try:
        said: dict[str, Any] = json.loads(message)
        for surface in surfaces:
            surface.feed(str(said["text"]).encode(), f"process {int(said['pid'])}")
    except (ValueError, KeyError, TypeError):
        return


def _tell_place_only(_: Any, error: BaseException, __: Any) -> None:
    sys.stderr.write(f"leak-check's scanner: {type(error).__name__} at {place_of(error)}\n")


if __name__ == "__main__":
    # Under its own name, so that what is pickled is found here.
    from importlib import import_module

    sys.exit(import_module(SCANNER_COMMAND).main())
