"""What a runtime wants started, and the starting of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from attune_tasks.errors import StartError

__all__ = ["Pipes", "Program", "start"]

_PIPE_BYTES: Final = 1 << 20  # Linux's limit for unprivileged users (pipe-max-size); fewer wake-ups for loud children
_UMASK: Final = 0o077


@dataclass(frozen=True, slots=True)
class Program:
    """One child to be. `repr()` leaves out what may be secret: `stdin`, and under ``legacy_env`` the environment."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    """The whole environment of the child; the numbers of the inherited pipes are added to it."""
    working_dir: Path
    stdin: bytes = field(repr=False)
    """The secrets' line, and the parameters where they go by standard input."""
    wrapper_input: bytes | None = field(default=None, repr=False)
    """What a wrapper reads from the pipe numbered ``ATTUNE_PARAMS_FD``; None: there is no such pipe."""


class Pipes:
    """The supervisor's ends of one child's pipes. None where there is none."""

    def __init__(self, process: subprocess.Popen[bytes], ends: Mapping[str, int]) -> None:
        """Keep the process and its pipes' ends by name: stdin, stdout, stderr, control, wrapper_input."""
        self.process = process
        self.ends = dict(ends)
        self._widened: set[str] = set()

    def widen(self, name: str) -> None:
        """Make one pipe as large as it can be, once: a loud child then wakes its reader less often."""
        if name not in self._widened and hasattr(fcntl, "F_SETPIPE_SZ"):
            self._widened.add(name)
            # Refused once a user's pipes hold too much in all (pipe-user-pages-soft); the default size serves as well.
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.ends[name], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def close(self, name: str) -> None:
        """Close one end, once."""
        descriptor = self.ends.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def close_all(self) -> None:
        """Close what is still open."""
        for name in list(self.ends):
            self.close(name)


def start(program: Program) -> Pipes:
    """Start `program` in a session and process group of its own, with default signals and no other descriptor.

    Python's :mod:`subprocess` uses vfork here, so the cost does not grow with the worker's memory, and it is safe in
    a process with threads. Raises StartError, which names the program.
    """
    ours: dict[str, int] = {}
    theirs: dict[str, int] = {}
    try:
        for name in ("stdin", "stdout", "stderr", "control", "wrapper_input"):
            if name == "wrapper_input" and program.wrapper_input is None:
                continue
            reader, writer = os.pipe()
            written_by_us = name in ("stdin", "wrapper_input")
            ours[name], theirs[name] = (writer, reader) if written_by_us else (reader, writer)
            os.set_blocking(ours[name], False)
        numbers = {"ATTUNE_CONTROL_FD": str(theirs["control"])}
        if "wrapper_input" in theirs:
            numbers["ATTUNE_PARAMS_FD"] = str(theirs["wrapper_input"])
        process = subprocess.Popen(
            program.argv,
            stdin=theirs["stdin"],
            stdout=theirs["stdout"],
            stderr=theirs["stderr"],
            pass_fds=[theirs[name] for name in ("control", "wrapper_input") if name in theirs],
            env={**program.env, **numbers},
            cwd=program.working_dir,
            start_new_session=True,
            umask=_UMASK,
        )
    except BaseException as error:
        for descriptor in ours.values():
            os.close(descriptor)
        if isinstance(error, OSError):
            msg = f"{program.argv[0]} could not be started in {program.working_dir}: {error.strerror}"
            raise StartError(msg) from None
        raise
    finally:
        for descriptor in theirs.values():
            os.close(descriptor)
    return Pipes(process, ours)
