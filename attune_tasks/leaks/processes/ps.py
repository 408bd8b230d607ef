"""What ``ps auxe`` prints: how another administrator of the machine would come upon a secret."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import IO, Final

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.processes.programs import program_of
from attune_tasks.leaks.processes.texts import name_of
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import Seeker, Watched

__all__ = ["PsSurface"]

_BETWEEN: Final = 0.7
"""Seconds from the end of one ps to the start of the next: it looks at all processes of the machine."""
_TIMEOUT: Final = 10.0
_ARGUMENTS: Final = ("auxeww",)
"""All processes, with their environments, the lines as long as they are."""


class PsSurface:
    """Runs the real ps now and then, beside the other looks: on a busy machine it takes seconds."""

    name = "ps auxe"

    def __init__(self, seeker: Seeker) -> None:
        """Search what it prints."""
        self._findings = Findings(self.name, seeker)
        self._program: str | None = None
        self._running: tuple[subprocess.Popen[bytes], IO[bytes], float] | None = None
        self._next = 0.0

    def begin(self) -> None:
        """Find ps."""
        self._program = shutil.which("ps")
        if self._program is None:
            self._findings.not_looked_at("there is no ps on the PATH: install procps")
        elif not hasattr(os, "memfd_create"):
            self._program = None
            self._findings.not_looked_at("its output is kept in memory by what only Linux has (memfd_create)")
        elif os.geteuid():
            self._findings.partly(
                f"ps ran as user {os.geteuid()}, to whom environments of undumpable processes and of other users' are"
                f" closed: {AS_ROOT}"
            )

    def look(self, executions: Sequence[Watched]) -> None:
        """Start it, if the last time is long enough ago, or take up what it has printed."""
        if self._running is not None:
            self._take_up(0.0)
        elif executions and time.monotonic() >= self._next:
            self._start()

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Run it once more."""
        if self._running is not None:
            self._take_up(_TIMEOUT)
        self._start()
        if self._running is not None:
            self._take_up(_TIMEOUT)
        return list(self._findings.rows(executions))

    def _start(self) -> None:
        if self._program is None:
            return
        # In memory, and as long as it likes: nobody reads a pipe meanwhile.
        output = os.fdopen(os.memfd_create("ps"), "w+b")
        try:
            process = subprocess.Popen(
                [self._program, *_ARGUMENTS],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath)},
            )
        except OSError as error:
            output.close()
            self._program = None
            self._findings.not_looked_at(f"ps could not be started: {error.strerror}")
            return
        self._running = process, output, time.monotonic() + _TIMEOUT

    def _take_up(self, wait: float) -> None:
        """Search what it has printed, if it has ended by then; end it where that took too long."""
        assert self._running is not None  # noqa: S101 - both callers see to it
        process, output, until = self._running
        try:
            status = process.wait(wait)
        except subprocess.TimeoutExpired:
            if time.monotonic() < until:
                return
            process.kill()
            process.wait()
            status = None
            self._findings.partly("ps did not run to its end once")
        self._running = None
        self._next = time.monotonic() + _BETWEEN
        with output:
            output.seek(0)
            data = output.read()
        if status:
            self._program = None
            self._findings.not_looked_at("this ps does not know `auxe`: install procps")
        elif self._findings.seeker.find(data):
            for line in data.splitlines():
                self._search(line)

    def _search(self, line: bytes) -> None:
        if self._findings.seeker.find(line):
            fields = line.split(None, 2)
            pid = int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0
            self._findings.search(
                line, f"the line of {name_of(pid)} (pid {pid})", program_of(pid, self._findings.seeker)
            )
