"""Whose processes are looked at: those of the executions, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from attune_tasks.leaks import Watched
from attune_tasks.leaks.execution_trees import ExecutionTrees
from tests.processes import children
from tests.waiting import wait_until

_POOL = """
import os, subprocess, sys
launcher = "import subprocess, sys; subprocess.Popen(['sleep', '60'], env={'HOME': '/h', 'TMPDIR': '/t', 'KEY': 'v'}, \
stdout=open('out', 'w')); sys.stdin.read()"
process = subprocess.Popen([sys.executable, "-c", launcher], stdin=subprocess.PIPE, cwd=sys.argv[1])
sys.stdin.read()
"""


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[int]:
    """Give the pid of a process with a launcher, with a program below it."""
    process = subprocess.Popen([sys.executable, "-c", _POOL, str(tmp_path)], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: [pid for launcher in children(process.pid) for pid in children(launcher)], "the program")
        (launcher,) = children(process.pid)
        (program,) = children(launcher)
        wait_until(lambda: b"sleep" in Path(f"/proc/{program}/cmdline").read_bytes(), "its exec")
        yield process.pid
    finally:
        for pid in (*[pid for launcher in children(process.pid) for pid in children(launcher)], process.pid):
            os.kill(pid, 9)
        process.communicate()


@pytest.mark.parametrize("known", [True, False])
def test_the_program_is_seen_whether_its_launcher_is_known_or_not(known: bool, pool: int, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    (launcher,) = children(pool)
    trees = ExecutionTrees()
    trees.look([Watched(7, "t7", "shell", pool_pid=pool, launcher_pid=launcher if known else 0)])
    (seen,) = trees.processes
    assert (seen.command, seen.cwd, seen.uid, seen.runtime) == ("sleep 60", str(tmp_path), os.getuid(), "shell")
    assert seen.variables == {"HOME": "/h", "TMPDIR": "/t"}
    (file,) = [file for file in seen.files if file.target == str(tmp_path / "out")]
    assert trees.program_of("/elsewhere", file.status) == "sleep 60"
    assert trees.program_of(f"{tmp_path}/folder/file", Path("/").stat()) == "sleep 60"
    assert trees.program_of("/elsewhere", Path("/").stat()) == ""


def test_who_looks_and_what_is_below_it_is_not_looked_at(pool: int) -> None:
    trees = ExecutionTrees()
    trees.look([Watched(7, "t7", "shell", pool_pid=os.getpid())])
    assert trees.processes == []
    over = ExecutionTrees()
    over.look([Watched(7, "t7", "shell", pool_pid=pool, is_over=True), Watched(8, "t8", "shell")])
    assert over.processes == []
