"""The worker's end of one launcher: starts it, has it start children, and hears how they end."""

from __future__ import annotations

import array
import contextlib
import marshal
import os
import pwd
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from attune_tasks.errors import StartError
from attune_tasks.process._launcher import attune_tree
from attune_tasks.process._launcher.attune_folder import remove_folder
from attune_tasks.process.cgroup import Cgroup
from attune_tasks.process.orphans import LAUNCHERS, start_ticks, sweep

__all__ = ["CONTROL_NUMBER", "Launcher", "LauncherSpec", "Said", "user_entry"]

CONTROL_NUMBER: Final = 200
"""Where a child finds its control channel, and above it a wrapper's own input: scripts like to use 3 and 10."""

_SCRIPT: Final = Path(__file__).parent / "_launcher" / "attune_launcher.py"
_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 2.0
_SEND_SECONDS: Final = 5
"""How long a launcher that reads nothing, for it was stopped, is waited for."""
_NAMES: Final = 256
"""How many names of private folders a launcher has. They come again, but another user never knows the next one."""
_MAX_LINE_BYTES: Final = 1 << 16
_MAX_DIGITS: Final = 9
"""Of a number that a launcher says: pids have 7 at most, wait statuses 5."""
_KILL_SECONDS: Final = 12.0
"""How long the launcher is given to kill everything: it tries for ten seconds itself."""
_KILL_SECONDS_BESIDE_CGROUP: Final = 1.0
_MARSHAL_VERSION: Final = 2
"""Which every Python 3 reads: an action's interpreter may be older than the worker's."""


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


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a launcher. It runs as the action's user, and may say anything: the reader checks it."""

    word: str
    number: int = 0
    rest: str = ""

    def left_behind(self) -> list[tuple[int, int]]:
        """Give pid and uid of each process that could not be killed."""
        pairs = [pair.partition(":") for pair in self.rest.split(",")]
        return [
            (int(pid), -1 if uid == "-1" else int(uid))
            for pid, _, uid in pairs
            if len(pid) <= _MAX_DIGITS >= len(uid) and pid.isdecimal() and (uid.isdecimal() or uid == "-1")
        ]


class Launcher:
    """One launcher, ready for its next execution. Not for two threads at once."""

    def __init__(
        self,
        spec: LauncherSpec,
        guardians: Sequence[int] = (),
        *,
        undumpable: bool = True,
        cgroup: bool = True,
    ) -> None:
        """Start a launcher, and wait until it is ready.

        It dies with each of the processes `guardians`, by pid. `cgroup`: it gets one of its own where that can be had.
        Raises StartError where it does not get ready within 30 seconds.
        """
        self.spec = spec
        self._cgroup: Cgroup | None = None
        self._start_ticks = sys.maxsize
        self._module = Path(spec.entry).stem if spec.entry else None
        self.executions = 0
        self.unforkable: str | None = None
        """Why it can't fork: ``threads``, or ``preload:MODULE:ERROR``."""
        self.reusable = True
        self.process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._folders = os.path.join(tempfile.gettempdir(), "attune-")  # noqa: PTH118 - text
        self._names = secrets.token_hex(8 * _NAMES)
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
        self._socket = ours
        try:
            with theirs, LAUNCHERS.starting() as pids:
                self.process = _start(spec, theirs, undumpable=undumpable)
                pids.add(self.process.pid)
            self._cgroup = Cgroup.made(self.process.pid) if cgroup else None
            self._start_ticks = start_ticks(self.process.pid)
            hello = {
                "do": "hello",
                "folders": self._folders,
                "names": self._names,
                "entry": spec.entry,
                "module": self._module,
                "locale": {os.fsencode(name): os.fsencode(value) for name, value in spec.locale},
                "preload": list(spec.preload),
                "library": spec.library,
            }
            with _opened(guardians) as descriptors:
                self._send(hello, descriptors)
            self._await_ready()
        except BaseException:
            self.take_over()  # what a preload has started, too
            raise

    @property
    def pid(self) -> int:
        """Its process; 0 where there is none."""
        return self.process.pid if self.process is not None else 0

    @property
    def folder(self) -> str:
        """The private folder of the next execution, or of the one that runs. The launcher makes and removes it."""
        return self._folder(self.executions)

    def fileno(self) -> int:
        """Give the descriptor that is readable when the launcher has said something."""
        return self._socket.fileno()

    def run(  # noqa: PLR0913 - one message
        self,
        *,
        argv: Sequence[str] | None,
        env: Mapping[str, str],
        folder: str | None,
        ends: Mapping[str, int],
        numbers: Mapping[str, int],
        limits: Mapping[str, int],
        dumpable: bool,
    ) -> None:
        """Have a child started; without `argv` by a fork. `folder` None: in the private one. Raises StartError."""
        message = {
            "do": "run",
            "argv": None if argv is None else list(map(os.fsencode, argv)),
            "env": {os.fsencode(name): os.fsencode(value) for name, value in env.items()},
            "folder": folder,
            "ends": list(ends),
            "numbers": dict(numbers),
            "limits": dict(limits),
            "dumpable": dumpable,
            "module": self._module,
        }
        if self._cgroup is not None:
            self._cgroup.bound(limits.get("NPROC"))
        self._send(message, list(ends.values()))

    def terminate(self) -> None:
        """Have SIGTERM sent to all that runs below the launcher."""
        self._command("terminate")

    def kill(self) -> None:
        """Have all killed that runs below the launcher; ``gone`` tells when it is done."""
        self._command("kill")

    @property
    def kill_seconds(self) -> float:
        """How long :meth:`kill` may take before there is :meth:`abandon`."""
        return _KILL_SECONDS if self._cgroup is None else _KILL_SECONDS_BESIDE_CGROUP

    def resume(self) -> bool:
        """Continue it where its action has stopped it; give whether that was so."""
        stat = attune_tree.stat_of(self.pid) if self.pid else None
        if stat is None or stat[0] != "T" or self.process is None:
            return False
        self.process.send_signal(signal.SIGCONT)
        return True

    def abandon(self) -> None:
        """Kill the launcher, which does not do what it is told; then there is :meth:`take_over`."""
        if self.process is not None:
            self.process.kill()

    def clear(self, left: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Kill what the launcher could not kill, where there is another means; give what is still left."""
        return left if self._cgroup is None else self.take_over()

    def take_over(self) -> list[tuple[int, int]]:
        """Clean up behind a launcher that is of no more use; give pid and uid of what can't be killed."""
        self.reusable = False
        if self._cgroup is not None:
            self._cgroup.kill()
        self.close()
        left = sweep(self._start_ticks) if self.process is not None else []
        self._remove_folders()
        return left

    def read(self) -> list[Said] | None:
        """Give what it has said since; None: it has ended. Raises BlockingIOError where it has said nothing."""
        try:
            data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > _MAX_LINE_BYTES:
            return None  # it is none of ours any more, whatever it is
        return [_parsed(line) for line in lines]

    def begin(self) -> None:
        """Note that an execution begins; until :meth:`finished` it is not to be used again."""
        self.reusable = False

    def finished(self) -> None:
        """Note that an execution is over and nothing of it left; the launcher goes on to its next private folder."""
        self.executions += 1
        self.reusable = True

    def is_alive(self) -> bool:
        """Say whether it is still there, and has said nothing since its last execution was over."""
        try:
            self._socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # end-of-file, or words out of place

    def hang_up(self) -> None:
        """Let it end, and all below it."""
        self._socket.close()
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)  # somebody may have stopped it

    def close(self) -> None:
        """Let it end; wait for that for two seconds at the most, then kill it."""
        self.hang_up()
        if self.process is None:
            return
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode:  # it was killed, and did not clean up
            self._remove_folders()
        LAUNCHERS.discard(self.process.pid)
        if self._cgroup is not None:
            self._cgroup.remove()

    def let_go(self) -> None:
        """Close the socket and wait for nothing: in a forked copy of the process whose launcher it is."""
        self._socket.close()
        if self.process is not None:
            self.process.returncode = 0  # another's child: subprocess is not to wait for it

    def _folder(self, number: int) -> str:
        at = number % _NAMES * 16
        return self._folders + self._names[at : at + 16]

    def _remove_folders(self) -> None:
        # That of the last execution, too: the launcher says that a child has ended before it cleans up.
        for number in range(self.executions - 1, self.executions + 2):
            remove_folder(self._folder(number))

    def _command(self, word: str) -> None:
        with contextlib.suppress(StartError):  # it is gone, which reading tells
            self._send({"do": word}, ())
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)  # its action may have stopped it

    def _send(self, message: dict[str, Any], descriptors: Sequence[int]) -> None:
        content = marshal.dumps(message, _MARSHAL_VERSION)
        data = len(content).to_bytes(4, "big") + content
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            sent = self._socket.sendmsg([data], beside)
            if sent < len(data):
                self._socket.sendall(data[sent:])
        except OSError as error:
            msg = f"the launcher of {self.spec.name} is gone: {error.strerror}"
            raise StartError(msg) from None

    def _await_ready(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        deadline = time.monotonic() + _START_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if not poll.poll(left * 1000):
                break
            said = self.read()
            if said is None:
                msg = f"the launcher of {self.spec.name} did not start: see that {_what_runs(self.spec)}"
                raise StartError(msg)
            if said:
                self.unforkable = None if said[0].rest == "-" else said[0].rest
                return
        msg = f"the launcher of {self.spec.name} was not ready within {_START_SECONDS:g} seconds"
        raise StartError(msg + (f": is it `preload: [{', '.join(self.spec.preload)}]`?" if self.spec.preload else ""))


def _what_runs(spec: LauncherSpec) -> str:
    """Say what has to be so for a launcher to start."""
    whom = f", as the user {spec.run_as}, and that this user can read {_SCRIPT.parents[2]}" if spec.run_as else ""
    preload = f", and that `preload: [{', '.join(spec.preload)}]` does not end it" if spec.preload else ""
    return f"{spec.interpreter} runs{whom}{preload}"


def _start(spec: LauncherSpec, theirs: socket.socket, *, undumpable: bool) -> subprocess.Popen[bytes]:
    command = [spec.interpreter, "-I", "-X", "utf8", str(_SCRIPT), str(theirs.fileno()), spec.name]
    as_whom: dict[str, Any] = {}
    if spec.run_as is not None:
        user = user_entry(spec.run_as)
        if user.pw_uid != os.geteuid():
            as_whom = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        return subprocess.Popen(
            [*command, *(["undumpable"] if undumpable else [])],
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
def _opened(pids: Sequence[int]) -> Iterator[list[int]]:
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


def _parsed(line: bytes) -> Said:
    word, _, rest = line.decode(errors="replace").partition(" ")
    first, _, last = rest.partition(" ")
    number = int(first) if first.isdecimal() and len(first) <= _MAX_DIGITS else 0
    return Said(word, number, last if last and first.isdecimal() else rest)
