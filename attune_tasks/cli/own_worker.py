"""A command's own worker: a real prefork worker in a process of its own, of which nothing is left at the end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attune_tasks.cli.demo_look import wait_for
from attune_tasks.proc import Process, below

__all__ = ["OwnWorker"]

_PR_SET_CHILD_SUBREAPER: Final = 36
_WARM_SECONDS: Final = 2.0
_COLD_SECONDS: Final = 1.0
_SWEEP_SECONDS: Final = 3.0


class OwnWorker:
    """Starts the worker, and ends it with all that it started."""

    def __init__(self) -> None:
        """Become the process to which orphans of the worker's tree go, so that they can be found."""
        self._process: subprocess.Popen[bytes] | None = None
        self._before = {process.pid for process in below(os.getpid())}
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    @property
    def pid(self) -> int:
        """The pid of the worker's main process, which leads its session; 0 before the start."""
        return self._process.pid if self._process else 0

    def start(self, app: str, folder: Path, log: Path, environment: Mapping[str, str], *arguments: str) -> None:
        """Start a worker of the Celery app that `app` names in `folder`, its output going to `log`."""
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-P", "prefork", "-c", "2", "-l", "INFO"]
        command += ["--without-gossip", "--without-mingle", *arguments]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        """Tell whether the main process is there."""
        return self._process is not None and self._process.poll() is None

    def executions(self) -> list[Process]:
        """Give the processes of executions: what launchers have started, and they by the worker, of another session."""
        tree = [each for each in below(self.pid) if each.session != self.pid and not each.is_zombie]
        return [each for each in tree if each.parent in {other.pid for other in tree}]

    def stop(self) -> None:
        """End the worker: warm, then cold, then by force; then whatever is left of its tree."""
        process = self._process
        if process is not None:
            for number, seconds in ((signal.SIGTERM, _WARM_SECONDS), (signal.SIGQUIT, _COLD_SECONDS)):
                if process.poll() is None:
                    process.send_signal(number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(seconds)
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._sweep()

    def _sweep(self) -> None:
        deadline = time.monotonic() + _SWEEP_SECONDS
        while (left := self._left()) and time.monotonic() < deadline:
            for each in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(each.pid, signal.SIGKILL)
            wait_for(self._reap, seconds=0.05)

    def _left(self) -> list[Process]:
        return [each for each in below(os.getpid()) if each.pid not in self._before]

    def _reap(self) -> bool:
        """Collect what has ended; give whether nothing is left."""
        left = self._left()
        for each in left:
            if each.parent == os.getpid():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(each.pid, os.WNOHANG)
        return not left
