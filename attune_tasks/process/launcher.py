"""The worker's end of one launcher: starts it, has it start children, and hears how they end."""

from __future__ import annotations

import array
import contextlib
import marshal
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attune_tasks.errors import StartError
from attune_tasks.process._launcher import attune_tree
from attune_tasks.process._launcher.attune_folder import remove_folder
from attune_tasks.process.cgroup import Cgroup
from attune_tasks.process.launcher_start import LauncherSpec, opened_processes, start_launcher, what_runs
from attune_tasks.process.launcher_words import Said, parse_line
from attune_tasks.process.orphans import LAUNCHERS, now_ticks, start_ticks, sweep
from attune_tasks.process.program import Pipes, Program
from attune_tasks.process.standby import STANDBY_SECONDS, Standby

__all__ = ["Launcher"]

_START_SECONDS: Final = 30.0
_END_SECONDS: Final = 2.0
_SEND_SECONDS: Final = 5
"""How long a launcher that reads nothing, for it was stopped, is waited for."""
_NAMES: Final = 256
"""How many names of private folders a launcher has. They come again, but another user never knows the next one."""
_MAX_LINE_BYTES: Final = 1 << 16
_KILL_SECONDS: Final = 12.0
"""How long the launcher is given to kill everything: it tries for ten seconds itself."""
_KILL_SECONDS_BESIDE_CGROUP: Final = 1.0
_MARSHAL_VERSION: Final = 2
"""Which every Python 3 reads: an action's interpreter may be older than the worker's."""


class Launcher:
    """One launcher, ready for its next execution. Not for two threads at once."""

    def __init__(
        self,
        spec: LauncherSpec,
        guardians: Sequence[int] = (),
        *,
        undumpable: bool = True,
        cgroup: bool = True,
        standby: bool = True,
    ) -> None:
        """Start a launcher, and wait until it is ready.

        It dies with each of the processes `guardians`, by pid. `cgroup`: it gets one of its own where that can be had.
        `standby`: in a burst it starts programs ahead of their executions.
        Raises StartError where it does not get ready within 30 seconds.
        """
        self.spec = spec
        self._cgroup: Cgroup | None = None
        self._since = sys.maxsize
        """When what is below it can have begun at the earliest, in the clock ticks of /proc."""
        self._standby_since = sys.maxsize
        """The same for what it starts ahead."""
        self._module = Path(spec.entry).stem if spec.entry else None
        self.executions = 0
        self.unforkable: str | None = None
        """Why it can't fork: ``threads``, or ``preload:MODULE:ERROR``."""
        self.reusable = True
        self.standby = Standby(enabled=standby)
        self.process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._folders = os.path.join(tempfile.gettempdir(), "attune-")  # noqa: PTH118 - text
        self._names = secrets.token_hex(8 * _NAMES)
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
        self._socket = ours
        try:
            with theirs, LAUNCHERS.starting() as pids:
                self.process = start_launcher(spec, theirs, undumpable=undumpable)
                pids.add(self.process.pid)
            self._cgroup = Cgroup.made(self.process.pid) if cgroup else None
            self._since = start_ticks(self.process.pid)
            hello = {
                "do": "hello",
                "folders": self._folders,
                "names": self._names,
                "entry": spec.entry,
                "module": self._module,
                "locale": {os.fsencode(name): os.fsencode(value) for name, value in spec.locale},
                "preload": list(spec.preload),
                "library": spec.library,
                "idle_seconds": STANDBY_SECONDS,
            }
            with opened_processes(guardians) as descriptors:
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

    def run(self, program: Program, pipes: Pipes) -> None:
        """Have a program started, or a fork. Raises StartError."""
        if self._cgroup is not None:
            self._cgroup.bound(program.limits.get("NPROC"))
        self._start("run", program, pipes, program.env)

    def run_standby(self) -> None:
        """Note that the execution of what waits begins. It answers ``absent`` where nothing does. Raises StartError."""
        self._send({"do": "go"}, ())

    def stand_by(self, program: Program, pipes: Pipes) -> None:
        """Have a program started ahead, once the present execution is over. Raises StartError."""
        self._standby_since = now_ticks()
        ahead = program.ahead.env if program.ahead else {}
        self._start("standby", program, pipes, {"TMPDIR": self._folder(self.executions + 1), **ahead})

    def _start(self, what: str, program: Program, pipes: Pipes, env: Mapping[str, str]) -> None:
        message = {
            "do": what,
            "argv": None if program.argv is None else list(map(os.fsencode, program.argv)),
            "env": {os.fsencode(name): os.fsencode(value) for name, value in program.whole_env(env).items()},
            "folder": program.working_dir,
            "ends": list(pipes.theirs),
            "numbers": program.numbers(),
            "limits": dict(program.limits),
            "dumpable": program.dumpable,
            "module": self._module,
        }
        self._send(message, list(pipes.theirs.values()))

    def lease(self, until: float) -> None:
        """Let what runs below the launcher run until then, by time.monotonic(); later leases take its place."""
        with contextlib.suppress(StartError):  # it is gone, which reading tells
            self._send({"do": "lease", "until": until}, ())

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
        left = sweep(self._since) if self.process is not None else []
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
        return [parse_line(line) for line in lines]

    def begin(self, *, standing_by: bool = False) -> None:
        """Note that an execution begins; until :meth:`finished` it is not to be used again."""
        self.reusable = False
        # Not since its start: other tasks of this process may have started programs between its executions.
        self._since = self._standby_since if standing_by else now_ticks()

    def finished(self) -> None:
        """Note that an execution is over and nothing of it left; the launcher goes on to its next private folder."""
        self.executions += 1
        self.reusable = True
        self.standby.ended()

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
        self.standby.close()
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
        self.standby.close()
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
                msg = f"the launcher of {self.spec.name} did not start: see that {what_runs(self.spec)}"
                raise StartError(msg)
            if said:
                self.unforkable = None if said[0].rest == "-" else said[0].rest
                return
        msg = f"the launcher of {self.spec.name} was not ready within {_START_SECONDS:g} seconds"
        raise StartError(msg + (f": is it `preload: [{', '.join(self.spec.preload)}]`?" if self.spec.preload else ""))
