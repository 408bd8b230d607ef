"""A command on a terminal, as a person has it: what it wrote there, and what stood there in the end."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable

from tests.acceptance.command import Command

__all__ = ["Terminal", "screen"]


class Terminal:
    """``attune-tasks`` with all three streams on one terminal."""

    def __init__(self, command: Command, *arguments: str) -> None:
        """Start it."""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "attune_tasks.cli", *arguments],
            cwd=command.folder,
            env={**command.environment, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.written = ""

    def read_until(self, condition: Callable[[str], object], seconds: float = 30) -> None:
        """Read what it writes until `condition` holds of all that."""
        deadline = time.monotonic() + seconds
        while not condition(self.written):
            assert time.monotonic() < deadline, self.written
            self._read()

    def end(self) -> int:
        """Read to the end, and give the exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(30)

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # nobody has the other end any more
            return False
        self.written += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


def screen(written: str) -> str:
    """Give what stands there: what was erased is gone, and so are colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", written)
    return "\n".join(line.rpartition("\r\x1b[K")[2] for line in plain.split("\n"))
