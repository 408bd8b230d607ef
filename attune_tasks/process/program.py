"""One child's program, and the pipes to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["CONTROL_NUMBER", "Ahead", "Pipes", "Program"]

CONTROL_NUMBER: Final = 200
"""Where a child finds its control channel, and above it a wrapper's own input: scripts like to use 3 and 10."""

_PIPE_BYTES: Final = 1 << 20  # pipe-max-size's default; fewer wake-ups for loud children


@dataclass(frozen=True, slots=True)
class Ahead:
    """How a program is started ahead of its execution, and what it is told when that begins."""

    env: Mapping[str, str] = field(repr=False)
    """Its environment, without what each execution has of its own; TMPDIR is added to it."""
    line: bytes = field(repr=False)
    """What comes before all else on its standard input, and tells it the rest of its environment."""


@dataclass(frozen=True, slots=True)
class Program:
    """One child to be. `repr()` leaves out what may be secret: `stdin`, and under ``legacy_env`` the environment."""

    argv: Sequence[str] | None
    """None: a fork of the launcher, which becomes what its entry makes of it."""
    env: Mapping[str, str] = field(repr=False)
    """The whole environment of the child; the numbers of the inherited pipes are added to it."""
    stdin: bytes = field(repr=False)
    """The secrets' line, and the parameters where they go by standard input."""
    wrapper_input: bytes | None = field(default=None, repr=False)
    """What a wrapper reads from the pipe numbered ``ATTUNE_PARAMS_FD``; None: there is no such pipe."""
    working_dir: str | None = None
    """None: the execution's private folder."""
    control_number: int = CONTROL_NUMBER
    """The descriptor which is the child's control channel."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Bounds by their names after ``RLIMIT_``, see setrlimit(2)."""
    dumpable: bool = False
    """Whether a forked child may be looked into by other processes of its user."""
    ahead: Ahead | None = None
    """None: it is started when its execution begins, and not before."""

    def same_ahead(self) -> Any:
        """Give what one that was started ahead must have in common with this one; None: it can't be started ahead."""
        if self.ahead is None or self.argv is None or self.wrapper_input is not None or self.working_dir or self.limits:
            return None
        return self.argv, self.ahead.env, self.control_number

    def numbers(self) -> dict[str, int]:
        """Give the descriptors in the child, by name, of what is none of the three standard ones."""
        wrapper_input = {"wrapper_input": self.control_number + 1} if self.wrapper_input is not None else {}
        return {"control": self.control_number, **wrapper_input}

    def whole_env(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the environment, or `env` in its place, with the numbers of the pipes in it."""
        numbers = self.numbers()
        variables = {"ATTUNE_CONTROL_FD": str(numbers["control"])}
        if "wrapper_input" in numbers:
            variables["ATTUNE_PARAMS_FD"] = str(numbers["wrapper_input"])
        return {**(self.env if env is None else env), **variables}


class Pipes:
    """One child's pipes: our ends, and until they were handed over, the child's."""

    def __init__(self, program: Program) -> None:
        """Open them, close-on-exec; ours do not block."""
        self.ends: dict[str, int] = {}
        """Our ends by name: stdin, stdout, stderr, control, wrapper_input."""
        self.theirs: dict[str, int] = {}
        self._widened: set[str] = set()
        try:
            for name in ("stdin", "stdout", "stderr", "control", "wrapper_input"):
                if name == "wrapper_input" and program.wrapper_input is None:
                    continue
                reader, writer = os.pipe()
                written_by_us = name in ("stdin", "wrapper_input")
                self.ends[name], self.theirs[name] = (writer, reader) if written_by_us else (reader, writer)
                os.set_blocking(self.ends[name], False)
        except BaseException:
            self.close_all()
            raise

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

    def handed_over(self) -> None:
        """Close the child's ends: it has its own copies."""
        while self.theirs:
            os.close(self.theirs.popitem()[1])

    def close_all(self) -> None:
        """Close what is still open."""
        self.handed_over()
        for name in list(self.ends):
            self.close(name)
