"""Whose processes are looked at: those of the executions, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attune_tasks.leaks import ValueSeeker, Watched
from attune_tasks.leaks.execution_trees import ExecutionTrees
from tests.processes import children
from tests.waiting import wait_until

_POOL = """
import os, subprocess, sys
launcher = "import subprocess, sys; subprocess.Popen(sys.argv[1:], env={'HOME': '/h', 'TMPDIR': '/t', 'KEY': 'v'}, \
stdout=open('out', 'w')); sys.stdin.read()"
process = subprocess.Popen([sys.executable, "-c", launcher, *sys.argv[2:]], stdin=subprocess.PIPE, cwd=sys.argv[1])
sys.stdin.read()
"""


@contextmanager
def a_pool(folder: Path, *program: str) -> Iterator[int]:
    """Give the pid of a process with a launcher, with a program below it."""
    command = [sys.executable, "-c", _POOL, str(folder), *program]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        wait_until(lambda: [pid for launcher in children(process.pid) for pid in children(launcher)], "the program")
        (launcher,) = children(process.pid)
        (running,) = children(launcher)
        last = program[-1].encode() + b"\0"
        wait_until(lambda: Path(f"/proc/{running}/environ").read_bytes().startswith(b"HOME=/h"), "its exec")
        assert Path(f"/proc/{running}/cmdline").read_bytes().endswith(last)
        yield process.pid
    finally:
        for pid in (*[pid for launcher in children(process.pid) for pid in children(launcher)], process.pid):
            os.kill(pid, 9)
        process.communicate()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[int]:
    """Give such a process; the program is sleep."""
    with a_pool(tmp_path, "sleep", "60") as pid:
        yield pid


@pytest.mark.parametrize("known", [True, False])
def test_the_program_is_seen_whether_its_launcher_is_known_or_not(known: bool, pool: int, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter
    (launcher,) = children(pool)
    trees = ExecutionTrees(ValueSeeker())
    trees.look([Watched(7, "t7", "shell", pool_pid=pool, launcher_pid=launcher if known else 0)])
    (seen,) = trees.processes
    assert (seen.command, seen.cwd, seen.uid, seen.runtime) == ("sleep 60", str(tmp_path), os.getuid(), "shell")
    assert seen.variables == {"HOME": "/h", "TMPDIR": "/t"}
    (file,) = [file for file in seen.files if file.target == str(tmp_path / "out")]
    assert trees.program_of("/elsewhere", file.status) == "sleep 60"
    assert trees.program_of(f"{tmp_path}/folder/file", Path("/").stat()) == "sleep 60"
    assert trees.program_of("/elsewhere", Path("/").stat()) == ""


def test_who_looks_and_what_is_below_it_is_not_looked_at(pool: int) -> None:
    trees = ExecutionTrees(ValueSeeker())
    trees.look([Watched(7, "t7", "shell", pool_pid=os.getpid())])
    assert trees.processes == []
    over = ExecutionTrees(ValueSeeker())
    over.look([Watched(7, "t7", "shell", pool_pid=pool, is_over=True), Watched(8, "t8", "shell")])
    assert over.processes == []


def test_a_program_is_shown_without_a_part_of_a_value_longer_than_all_that_is_shown(tmp_path: Path) -> None:
    value = "".join(f"{number:03d}-" for number in range(400))
    seeker = ValueSeeker()
    seeker.add(7, {"token": value})
    with a_pool(tmp_path, "sh", "-c", "sleep 60; :", f"Authorization: Bearer {value}", "x" * 1000) as pid:
        trees = ExecutionTrees(seeker)
        trees.look([Watched(7, "t7", "shell", pool_pid=pid)])
    (shown,) = [each.command for each in trees.processes if each.command.startswith("sh")]
    assert shown.startswith("sh -c sleep 60; : Authorization: Bearer *** xxx")
    assert len(shown) < 400
    assert shown.endswith("x …")
