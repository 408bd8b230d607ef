"""What is left where a worker's process and its launcher are killed at once is ended, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from attune_tasks.process import Launchers, Supervision, end_abandoned
from tests.processes import alive
from tests.runs import RUNTIMES, language, run_script
from tests.waiting import wait_until

EXECUTION = 4711
_SHELL = """\
#!/bin/bash
cd "$ATTUNE_ACTION_FOLDER"
setsid sh -c 'echo $$ >>pids; exec sleep 120' &
(setsid sh -c 'echo $$ >>pids; exec sleep 120' &)
env -i setsid sh -c 'echo $$ >>pids; exec sleep 120' &
sh -c 'echo $$ >>pids; kill -STOP $$; exec sleep 120' &
cd "$OLDPWD"
pwd >"$ATTUNE_ACTION_FOLDER/where"
echo $PPID >"$ATTUNE_ACTION_FOLDER/launcher"
echo $$ >>"$ATTUNE_ACTION_FOLDER/pids"
exec sleep 120
"""
_PYTHON = """\
import os, signal, time
def run(params):
    folder = params["folder"]
    for name, value in (("where", os.getcwd()), ("launcher", os.getppid())):
        with open(folder + "/" + name, "w") as file:
            file.write(str(value))
    pids = os.open(folder + "/pids", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for kind in range(4):
        if not os.fork():
            if kind != 3:
                os.setsid()
            if kind == 1 and os.fork():
                os._exit(0)
            os.write(pids, b"%d\\n" % os.getpid())
            if kind == 2:
                os.execve("/bin/sleep", ["sleep", "120"], {})
            if kind == 3:
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(120)
    os.write(pids, b"%d\\n" % os.getpid())
    time.sleep(120)
"""


@contextmanager
def run_in_a_process_of_its_own(runtime: str, folder: Path, execution_id: int) -> Iterator[tuple[int, list[int]]]:
    """Give the process that runs an action, and all that the action runs as; end them afterwards."""
    (folder / "pids").touch()
    pid = os.fork()
    if not pid:
        try:
            run_script(
                runtime,
                folder,
                _PYTHON if language(runtime) == "python" else _SHELL,
                supervision=Supervision(launchers=Launchers()),
                parameters={"folder": str(folder)},
                execution_id=execution_id,
            )
        finally:
            os._exit(0)
    pids: list[int] = []
    try:
        wait_until(lambda: len((folder / "pids").read_text().splitlines()) == 5, "the action's processes")
        pids = [int(line) for line in (folder / "pids").read_text().split()]
        yield pid, pids
    finally:
        for each in (pid, *pids):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def kill_at_once(pid: int, folder: Path) -> None:
    """Kill a launcher and its worker's process, neither of which sees the other's end."""
    launcher = int((folder / "launcher").read_text())
    os.kill(pid, signal.SIGSTOP)
    os.kill(launcher, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: not alive(launcher), "the launcher's end")


@pytest.fixture
def another() -> Iterator[int]:
    """Run what another task has started meanwhile, in a session of its own."""
    with subprocess.Popen(["/bin/sleep", "120"], start_new_session=True) as process:
        yield process.pid
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_all_that_is_left_is_killed_with_its_folder_and_a_neighbour_is_not(
    tmp_path: Path, another: int, runtime: str
) -> None:
    for name in ("lost", "neighbour"):
        (tmp_path / name).mkdir()
    with (
        run_in_a_process_of_its_own(runtime, tmp_path / "lost", EXECUTION) as (pid, pids),
        # The same execution, as where a broker has delivered its message twice.
        run_in_a_process_of_its_own(runtime, tmp_path / "neighbour", EXECUTION) as (_, others),
    ):
        assert end_abandoned(pid, EXECUTION) == 0, "its process lives"
        where = Path((tmp_path / "lost" / "where").read_text().strip())
        kill_at_once(pid, tmp_path / "lost")
        assert all(map(alive, pids)), "nobody else ends them"
        assert where.is_dir()
        assert end_abandoned(pid, EXECUTION) == 5
        assert not any(map(alive, pids))
        assert not where.exists()
        assert all(map(alive, others))
        assert end_abandoned(pid, EXECUTION) == 0
        assert alive(another)


def test_what_another_worker_left_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_in_a_process_of_its_own("python", tmp_path, EXECUTION) as (pid, pids):
        kill_at_once(pid, tmp_path)
        monkeypatch.setattr("attune_tasks.process.abandoned._WORKER", "another")
        assert end_abandoned(pid, EXECUTION + 1) == 0
        assert all(map(alive, pids))
