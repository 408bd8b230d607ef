"""Whatever an action starts, and however it resists: after the grace nothing of it is there, and no folder."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.confinement import Confinement
from attune_tasks.process import Launchers, LauncherSpec, LaunchersPolicy, Supervision
from attune_tasks.process.cgroup import own_cgroup
from attune_tasks.result import ExecutionResult
from tests.processes import carrying
from tests.runs import RUNTIMES, language, run_script
from tests.waiting import wait_until

DEADLINE = 1.5
GRACE = 0.5
BOMB = "forks on and on"
GROWN = 80
"""Processes that five bombs at once come to at least; 175 at most."""
LOSES = {"kills the launcher", "kills the launcher from a session of its own"}
_MARGIN = 4.0
"""Seconds that starting, killing and a loaded machine may take beside the grace."""

# Each is a Python program, and the action starts it and waits, or becomes it. `begun` is written once it stands.
PROGRAMS = {
    "holds the pipes": "begin(); time.sleep(600)",
    "double-forks": "os.fork() and os._exit(0)\nos.setsid()\nos.fork() and os._exit(0)\nbegin(); time.sleep(600)",
    "ignores SIGTERM": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\nbegin(); time.sleep(600)",
    "ignores SIGTERM in a session of its own": (
        "os.fork() and os._exit(0)\nos.setsid()\n[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\n"
        "begin(); time.sleep(600)"
    ),
    "stops itself": "begin(); os.kill(os.getpid(), signal.SIGSTOP); time.sleep(600)",
    "stops its group": "begin(); os.kill(0, signal.SIGSTOP); time.sleep(600)",
    "stops the launcher": "begin(); os.kill(LAUNCHER, signal.SIGSTOP); time.sleep(600)",
    "stops the launcher and ends": "begin(); os.kill(LAUNCHER, signal.SIGSTOP)",
    "stops the launcher on and on": (
        "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\nos.setsid()\nbegin()\n"
        "while True:\n    os.kill(LAUNCHER, signal.SIGSTOP)"
    ),
    "kills the launcher": "begin(); os.kill(LAUNCHER, signal.SIGKILL); time.sleep(600)",
    "kills the launcher from a session of its own": (
        "os.fork() and os._exit(0)\nos.setsid()\nos.fork() and os._exit(0)\n"
        "begin(); os.kill(LAUNCHER, signal.SIGKILL); time.sleep(600)"
    ),
    "sends the launcher other signals": (
        "[os.kill(LAUNCHER, n) for n in (1, 2, 3, 10, 12, 13, 14, 15, 17, 18, 20, 21, 22, 24, 25, 28, 29)]\n"
        "begin(); time.sleep(600)"
    ),
    # Each process has one of 35 places, in each of five runtimes. While all are taken, every other one ends.
    BOMB: """
signal.signal(15, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.makedirs("bomb", exist_ok=True)
def taken():
    for number in range(35):
        try:
            os.close(os.open(f"bomb/{number}", os.O_CREAT | os.O_EXCL))
            return number
        except FileExistsError:
            pass
mine = taken()
begin()
end = time.monotonic() + 60
while time.monotonic() < end:
    place = taken() if len(os.listdir("bomb")) < 35 else None
    if place is None:
        time.sleep(0.1)
        if mine % 2:
            os.unlink(f"bomb/{mine}")
            os._exit(0)
    elif not os.fork():
        os.setsid()
        mine = place
""",
}  # fmt: skip
_HEAD = """
import os, signal, sys, time
LAUNCHER = int(os.environ["LAUNCHER_PID"])
def begin():
    open("begun", "w").close()
"""
# The action itself starts the program, and waits for it where it does not become it.
STARTS = {
    "python": "import os, subprocess, sys\nos.environ['LAUNCHER_PID'] = str(os.getppid())\nprint('said', flush=True)\n"
    "subprocess.Popen([sys.executable, '-c', PROGRAM])\n"
    "import time\nwhile not os.path.exists('begun'): time.sleep(0.01)\n",
    "shell": "export LAUNCHER_PID=$PPID\necho said\nPYTHON -c PROGRAM &\nuntil [[ -e begun ]]; do sleep 0.01; done\n",
}  # fmt: skip
STARTS["executable"] = "#!/bin/bash\n" + STARTS["shell"]


def script(runtime: str, program: str, *, wait: bool) -> str:
    kind = language(runtime)
    whole = _HEAD + PROGRAMS[program]
    text = STARTS[kind].replace("PROGRAM", repr(whole) if kind == "python" else shlex.quote(whole))
    text = text.replace("PYTHON", sys.executable)
    return text + ({"python": "time.sleep(600)\n"}.get(kind, "sleep 600\n") if wait else "")


# An ordinary user may make no cgroup, unless it is given one, as by Delegate=yes: then there is no first kind of run.
CGROUPS = {"cgroup": True, "no cgroup": False}
if os.geteuid() and not os.access(own_cgroup() or "/nowhere", os.W_OK):
    del CGROUPS["cgroup"]


@pytest.fixture(params=CGROUPS.values(), ids=list(CGROUPS))
def launchers(request: pytest.FixtureRequest) -> Iterator[Launchers]:
    made = Launchers(LaunchersPolicy(cgroup=request.param))
    yield made
    made.close()


@pytest.mark.parametrize("wanted", CGROUPS.values(), ids=list(CGROUPS))
def test_what_runs_here_with_a_cgroup_has_one(wanted: bool) -> None:  # noqa: FBT001 - a parameter
    made = Launchers(LaunchersPolicy(cgroup=wanted))
    with made.launcher(LauncherSpec("tests", sys.executable)) as launcher:
        groups = (own_cgroup() or Path("/nowhere")).glob(f"attune-{os.getpid()}-*/cgroup.procs")
        inside = [group for group in groups if str(launcher.pid) in group.read_text().split()]
        assert len(inside) == wanted, "as root these tests need a cgroup of version 2, which they can write to"
    made.close()


def run(launchers: Launchers, folder: Path, runtime: str, text: str, **more: Any) -> tuple[ExecutionResult, float]:
    """Run an action; give its result, and how many seconds that took."""
    started = time.monotonic()
    result = run_script(
        runtime,
        folder,
        text,
        supervision=Supervision(launchers=launchers, grace=GRACE),
        confinement=Confinement(isolation="exec" if runtime == "python-exec" else "fork"),
        name=runtime,
        **more,
    )
    return result, time.monotonic() - started


def run_all(  # noqa: PLR0913 - the last are named
    launchers: Launchers, folder: Path, program: str, mark: str, *, wait: bool, timeout: float
) -> dict[str, tuple[ExecutionResult, float]]:
    """Run `program` in an action of each runtime, side by side in one worker."""
    with ThreadPoolExecutor(len(RUNTIMES)) as pool:
        running = {
            runtime: pool.submit(
                run,
                launchers,
                folder,
                runtime,
                script(runtime, program, wait=wait),
                env={"MARK": mark},
                timeout=timeout,
            )
            for runtime in RUNTIMES
        }
        return {runtime: future.result() for runtime, future in running.items()}


def left_of(mark: str) -> list[int]:
    """Give what is left of executions; what waits for the next one is not: it ends with the launchers, see `Traces`."""
    found = []
    for pid in carrying(mark):
        with suppress(FileNotFoundError):
            if b"ATTUNE_STANDBY=" not in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
    return found


class Traces:
    """What executions leave on the machine: processes by a mark in their environment, private folders, cgroups."""

    def __init__(self, temporary: Path) -> None:
        """Look at what is there before."""
        self.mark = secrets.token_hex(8)
        self.temporary = temporary
        self._groups = self._own_groups()

    def _own_groups(self) -> set[Path]:
        parent = own_cgroup()
        return set(parent.glob(f"attune-{os.getpid()}-*")) if parent else set()

    def found(self) -> list[object]:
        """Give all that has come since."""
        return [*carrying(self.mark), *self.temporary.iterdir(), *(self._own_groups() - self._groups)]


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traces:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return Traces(temporary)


def members_of_bombs(temporary: Path) -> int:
    """Count the processes of all bombs, by their places: beside them a look through /proc takes too long."""
    found = 0
    for folder in temporary.iterdir():
        with suppress(FileNotFoundError):
            found += sum(1 for _ in (folder / "bomb").iterdir())
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_at_the_deadline_nothing_of_any_action_outlives_the_grace(
    traces: Traces, launchers: Launchers, tmp_path: Path, program: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run_all, launchers, tmp_path, program, traces.mark, wait=True, timeout=DEADLINE)
        most = 0
        while program == BOMB and not futures.wait([future], 0.05).done:
            most = max(most, members_of_bombs(traces.temporary))
        results = future.result()
    if program == BOMB:
        assert most >= GROWN, "what was to be outrun was there"
    assert left_of(traces.mark) == []
    launchers.close()
    assert traces.found() == []
    for runtime, (result, seconds) in results.items():
        assert seconds < DEADLINE + GRACE + _MARGIN * (3 if program == BOMB else 1), runtime
        assert (result.stdout, result.left_behind) == ("said\n", ()), runtime
        assert result.status == ("error" if program in LOSES else "timed_out"), (runtime, result)


@pytest.mark.parametrize("program", sorted(set(PROGRAMS) - {"stops its group"}))  # which stops the action, too
@pytest.mark.parametrize("launchers", [False], indirect=True, ids=["no cgroup"])
def test_at_its_own_end_nothing_of_any_action_is_left(
    traces: Traces, launchers: Launchers, tmp_path: Path, program: str
) -> None:
    results = run_all(launchers, tmp_path, program, traces.mark, wait=False, timeout=60.0)
    assert left_of(traces.mark) == []
    launchers.close()
    assert traces.found() == []
    for runtime, (result, seconds) in results.items():
        assert seconds < _MARGIN + 3, runtime  # a launcher that is stopped on and on is given up after three seconds
        assert (result.stdout, result.left_behind) == ("said\n", ()), runtime
        # The launcher's end and the action's may come in either order.
        lost = program in LOSES | {"stops the launcher on and on"}
        assert result.status in ({"error", "succeeded"} if lost else {"succeeded"}), (runtime, result)


def test_what_an_action_has_started_is_seen_by_the_look(traces: Traces, tmp_path: Path) -> None:
    launchers = Launchers()
    text = "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\nwhile True: pass\n"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run, launchers, tmp_path, "python", text, env={"MARK": traces.mark}, timeout=2.0)
        wait_until(lambda: carrying(traces.mark), "what the action has started")
        kinds = {type(found) for found in traces.found()}
        future.result()
    assert kinds == {int, type(tmp_path)}
    launchers.close()
    assert traces.found() == []


def test_the_next_action_of_the_same_launchers_runs_as_if_nothing_had_been(
    launchers: Launchers, tmp_path: Path
) -> None:
    for program in ("ignores SIGTERM", "stops the launcher", "kills the launcher", "stops the launcher on and on"):
        run(launchers, tmp_path, "shell", script("shell", program, wait=True), timeout=1.0)
        result, seconds = run(launchers, tmp_path, "python", "print('fine')\n", timeout=10.0)
        assert (result.status, result.stdout) == ("succeeded", "fine\n")
        assert seconds < _MARGIN


def test_an_action_that_kills_its_launcher_harms_none_of_another_executor_of_the_same_process(tmp_path: Path) -> None:
    one, other = Launchers(LaunchersPolicy(cgroup=False)), Launchers(LaunchersPolicy(cgroup=False))
    kills = "import os, signal, subprocess, time\nsubprocess.Popen(['setsid', 'sleep', '600'])\nCHOICE\n"
    kills = kills.replace("CHOICE", "time.sleep(0.5); os.kill(os.getppid(), signal.SIGKILL); signal.pause()")
    with ThreadPoolExecutor(2) as pool:
        killing = pool.submit(run, one, tmp_path, "python", kills, env={"MARK": "kills"})
        running = pool.submit(run, other, tmp_path, "shell", "sleep 0.3; setsid sleep 600 & sleep 1.5; echo fine")
        assert killing.result()[0].status == "error"
        result, _ = running.result()
    assert (result.status, result.stdout) == ("succeeded", "fine\n")
    assert carrying("MARK=kills") == []
    one.close()
    other.close()


def test_an_action_that_kills_its_launcher_harms_no_program_that_was_there_before(tmp_path: Path) -> None:
    launchers = Launchers(LaunchersPolicy(cgroup=False))
    run(launchers, tmp_path, "python", "print('the launcher is there')\n")
    # In a session of its own, younger than the launcher: as another task of the same worker may have started it.
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        try:
            time.sleep(1 / os.sysconf("SC_CLK_TCK"))  # one tick of the clock in which processes have their age
            kills = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()\n"
            result, _ = run(launchers, tmp_path, "python", kills)
            assert result.error
            assert result.error["type"] == "launcher_lost"
            assert other.poll() is None
        finally:
            other.kill()
    launchers.close()
