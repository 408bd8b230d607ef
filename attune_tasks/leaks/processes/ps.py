"""What ``ps auxe`` prints: how another administrator of the machine would come upon a secret."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import Final

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
    """Runs the real ps now and then."""

    name = "ps auxe"

    def __init__(self, seeker: Seeker) -> None:
        """Search what it prints."""
        self._findings = Findings(self.name, seeker)
        self._program: str | None = None
        self._next = 0.0

    def begin(self) -> None:
        """Find ps."""
        self._program = shutil.which("ps")
        if self._program is None:
            self._findings.not_looked_at("there is no ps on the PATH: install procps")
        elif os.geteuid():
            self._findings.partly(
                f"ps ran as user {os.geteuid()}, to whom environments of undumpable processes and of other users' are"
                " closed: run the worker as root"
            )

    def look(self, executions: Sequence[Watched]) -> None:
        """Run it, if the last time is long enough ago."""
        if executions and self._program is not None and time.monotonic() >= self._next:
            self._run(self._program)
            self._next = time.monotonic() + _BETWEEN

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Run it once more."""
        if self._program is not None:
            self._run(self._program)
        return list(self._findings.rows(executions))

    def _run(self, program: str) -> None:
        try:
            done = subprocess.run(
                [program, *_ARGUMENTS],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
                env={"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath)},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self._findings.partly(f"ps did not run to its end once ({type(error).__name__})")
            return
        if done.returncode:
            self._program = None
            self._findings.not_looked_at("this ps does not know `auxe`: install procps")
        elif self._findings.seeker.find(done.stdout):
            for line in done.stdout.splitlines():
                self._search(line)

    def _search(self, line: bytes) -> None:
        if self._findings.seeker.find(line):
            fields = line.split(None, 2)
            pid = int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0
            self._findings.search(
                line, f"the line of {name_of(pid)} (pid {pid})", program_of(pid, self._findings.seeker)
            )
