"""Runs the real command in a process of its own, in an environment that holds nothing of the tester's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Command", "communicate", "eventually", "processes_with"]

# A shell that starts the tests in its background has SIGINT ignored, which every child would inherit.
_WITH_DEFAULT_SIGNALS = (
    "import os, signal, sys;"
    "[signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)];"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)

_T = TypeVar("_T")


class Command:
    """``attune-tasks`` in one working folder, its temporary files and the embedded broker in another."""

    def __init__(self, folder: Path, private: Path) -> None:
        """Work in `folder`; `private` is for what a user keeps elsewhere."""
        self.folder = folder
        self.temporary = private / "tmp"
        self.temporary.mkdir(mode=0o700)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(private),
            "TMPDIR": str(self.temporary),
            "XDG_STATE_HOME": str(private / "state"),
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }

    def start(self, *arguments: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start it, all three streams by pipes."""
        return subprocess.Popen(
            [sys.executable, "-c", _WITH_DEFAULT_SIGNALS, "-m", "attune_tasks.cli", *arguments],
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(
        self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*arguments, env=env, **options)
        stdout, stderr = communicate(process, stdin)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def interrupt(self, process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
        """Send a signal, and give what was written until the end, on both streams."""
        process.send_signal(number)
        return communicate(process)


def communicate(process: subprocess.Popen[str], stdin: str = "", seconds: float = 60) -> tuple[str, str]:
    """Give what a command writes until its end; after `seconds` kill it and fail."""
    with process:
        try:
            return process.communicate(stdin, timeout=seconds)
        finally:
            process.kill()


def eventually(condition: Callable[[], _T], seconds: float = 20) -> _T:
    """Give the first true value of `condition`; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)
    return value


def processes_with(text: str | Path) -> list[str]:
    """Give the processes that have `text` in their environment or on their command line, with their pids."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            shown = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if str(text).encode() in shown:
            found.append(f"{folder.name}: {shown.decode(errors='replace')}")
    return found
