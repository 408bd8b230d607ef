"""What a launcher is for, and how its process is started."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from attune_tasks.errors import StartError
from attune_tasks.process.abandoned import mark_of

__all__ = ["LauncherSpec", "opened_processes", "start_launcher", "user_entry", "what_runs"]

_SCRIPT: Final = Path(__file__).parent / "_launcher" / "attune_launcher.py"


@dataclass(frozen=True, slots=True)
class LauncherSpec:
    """What one launcher is for. Executions whose specs are equal may use the same, one after the other."""

    name: str
    """The pack's ref, for ``ps``."""
    interpreter: str
    pack: str = ""
    content: str = ""
    """A hash of what of the pack may be loaded in it."""
    entry: str | None = None
    """The Python file whose module makes a forked child an action; None: nothing can be forked."""
    preload: tuple[str, ...] = ()
    library: str | None = None
    """A folder that `preload` is looked for in, too."""
    run_as: str | None = None
    locale: tuple[tuple[str, str], ...] = ()
    """LANG and LC_* of most of its children, by name, which forks then need not set for themselves."""


def what_runs(spec: LauncherSpec) -> str:
    """Say what has to be so for a launcher to start."""
    whom = f", as the user {spec.run_as}, and that this user can read {_SCRIPT.parents[2]}" if spec.run_as else ""
    preload = f", and that `preload: [{', '.join(spec.preload)}]` does not end it" if spec.preload else ""
    return f"{spec.interpreter} runs{whom}{preload}"


def start_launcher(spec: LauncherSpec, theirs: socket.socket, *, undumpable: bool) -> subprocess.Popen[bytes]:
    """Start one, with the other end of its socket; raise StartError where that can't be."""
    command = [spec.interpreter, "-I", "-X", "utf8", str(_SCRIPT), str(theirs.fileno()), spec.name]
    as_whom: dict[str, Any] = {}
    if spec.run_as is not None:
        user = user_entry(spec.run_as)
        if user.pw_uid != os.geteuid():
            as_whom = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        return subprocess.Popen(
            [*command, mark_of(os.getpid()), *(["undumpable"] if undumpable else [])],
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            **as_whom,
        )
    except OSError as error:
        whom = f" as {spec.run_as}" if as_whom else ""
        why = ": only root may change user" if as_whom and os.geteuid() else ""
        msg = f"{spec.interpreter} could not be started{whom}: {error.strerror}{why}"
        raise StartError(msg) from None


def user_entry(name: str) -> pwd.struct_passwd:
    """Give a user's entry in the password database; raise StartError where there is none."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        msg = f"run_as: there is no user {name!r} on this machine"
        raise StartError(msg) from None


@contextlib.contextmanager
def opened_processes(pids: Sequence[int]) -> Iterator[list[int]]:
    """Give descriptors of processes, where the platform has them; one that has ended already is left out."""
    opened: list[int] = []
    try:
        for pid in pids if hasattr(os, "pidfd_open") else ():
            # Ended already, or (ENOSYS, EPERM) kept from us by a sandbox: the end of the socket tells it mostly.
            with contextlib.suppress(OSError):
                opened.append(os.pidfd_open(pid))
        yield opened
    finally:
        for descriptor in opened:
            os.close(descriptor)
