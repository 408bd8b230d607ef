"""What bounds a child: how it is isolated, as whom it runs, what it may use."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

__all__ = ["Confinement", "Isolation", "Limits"]

Isolation = Literal["fork", "exec"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for one process, by setrlimit(2). None: no bound of ours."""

    memory: int | None = None
    """Bytes of address space (RLIMIT_AS)."""
    cpu_seconds: int | None = None
    """Seconds of processor time, of each process by itself (RLIMIT_CPU)."""
    file_size: int | None = None
    """Bytes of a file that is written (RLIMIT_FSIZE)."""
    processes: int | None = None
    """Processes and threads of the user in all (RLIMIT_NPROC); root has no such bound."""
    open_files: int | None = None
    """Descriptors, and one more than the highest number (RLIMIT_NOFILE)."""

    def tightened(self, other: Limits) -> Limits:
        """Give the lower bound of the two, each by itself."""
        bounds = {entry.name: (getattr(self, entry.name), getattr(other, entry.name)) for entry in fields(self)}
        return Limits(
            **{name: min((bound for bound in both if bound is not None), default=None) for name, both in bounds.items()}
        )

    def by_resource(self) -> dict[str, int]:
        """Give the bounds that are set, by the name that setrlimit(2) has for each after ``RLIMIT_``."""
        names = {
            "AS": self.memory,
            "CPU": self.cpu_seconds,
            "FSIZE": self.file_size,
            "NPROC": self.processes,
            "NOFILE": self.open_files,
        }
        return {name: bound for name, bound in names.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Confinement:
    """What bounds one execution's processes."""

    isolation: Isolation = "fork"
    """``fork``: a Python action is a fork of its pack's launcher; ``exec``: it gets a fresh interpreter."""
    preload: tuple[str, ...] = ()
    """Modules that the pack's launcher imports once, so that its actions find them loaded."""
    limits: Limits = field(default_factory=Limits)
    run_as: str | None = None
    """The user, by name; None: the worker's own."""
    dumpable: bool = False
    """Whether a forked Python action may be looked into by other processes of its user (prctl(2), PR_SET_DUMPABLE)."""
    single_use: bool = False
    """Whether the launcher ends after this execution: it was told something that no other may see."""
