"""Processes that belong to one command: each with a log, all ended with it, and nothing of them left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attune_tasks.proc import below

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_START_SECONDS = 120.0
_SWEEP_SECONDS = 5.0


class NotStartedError(Exception):
    """A process ended before its time, or was not ready in time; the text has the end of its log."""


@dataclass(frozen=True)
class Running:
    """One of the processes. It leads a session of its own, so that Ctrl-C reaches it through us alone."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ends: Sequence[tuple[int, float]]
    """The signals that end it, and for how many seconds each is given."""

    def tail(self) -> str:
        """Give the end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


class Processes:
    """All of them, in the order in which they were started."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        """Become the process to which orphans go, so that none is missed at the end."""
        self._logs = logs
        self._environment = dict(environment)
        self._running: list[Running] = []
        self._prctl = ctypes.CDLL(None).prctl
        self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        typed: str | None = None,
        ends: Sequence[tuple[int, float]] = ((signal.SIGTERM, 5.0),),
        **variables: str,
    ) -> Running:
        """Start one; `typed` is what it gets on standard input."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**self._environment, **variables},
                stdin=subprocess.DEVNULL if typed is None else subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                # Killed where we are: without its broker Flower would not end by SIGTERM.
                preexec_fn=lambda: self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),  # noqa: PLW1509 - one thread
            )
        made = Running(name, process, log, ends)
        self._running.append(made)
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write((typed or "").encode())
        return made

    def run(self, command: Sequence[str], folder: Path) -> str:
        """Run a command to its end; give what it printed."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_START_SECONDS,
        )
        if done.returncode != 0:
            msg = f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
            raise NotStartedError(msg)
        return done.stdout

    def wait(self, which: Running, is_ready: Callable[[], bool]) -> None:
        """Wait until one of them is ready."""
        deadline = time.monotonic() + _START_SECONDS
        while not is_ready():
            if which.process.poll() is not None or time.monotonic() > deadline:
                msg = f"{which.name} did not start:\n{which.tail()}"
                raise NotStartedError(msg)
            time.sleep(0.05)

    def watch(self) -> Running:
        """Wait until one of them has ended; give it."""
        while True:
            for each in self._running:
                if each.process.poll() is not None:
                    return each
            time.sleep(0.2)

    def stop(self) -> None:
        """End all of them, the last one first; then whatever is left below this process."""
        for each in reversed(self._running):
            for number, seconds in each.ends:
                if each.process.poll() is None:
                    each.process.send_signal(number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        each.process.wait(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()
        deadline = time.monotonic() + _SWEEP_SECONDS
        while (left := list(below(os.getpid()))) and time.monotonic() < deadline:
            for orphan in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.02)


def is_listening(port: int) -> bool:
    """Tell whether something takes connections at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_or_free(wanted: int) -> int:
    """Give `wanted` where nobody has it, else one that is free."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    msg = "no port is free"
    raise NotStartedError(msg)
