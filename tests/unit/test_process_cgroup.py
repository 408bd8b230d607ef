"""Cgroups of launchers: one for each, removed with it, and none where none can be made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attune_tasks.process import Launchers, LauncherSpec, LaunchersPolicy, Program, Supervision, run_program
from attune_tasks.process.cgroup import Cgroup, own_cgroup
from tests.processes import alive
from tests.waiting import wait_until

SPEC = LauncherSpec("billing", sys.executable)


@pytest.fixture
def parent() -> Path:
    found = own_cgroup()
    assert found is not None, "these tests need a cgroup of version 2"
    if os.geteuid() and not os.access(found, os.W_OK):
        pytest.skip(f"an ordinary user may make no cgroup below {found}, unless it is given it, as by Delegate=yes")
    return found


def groups(parent: Path) -> set[Path]:
    """Give those of this process; other tests keep launchers in it, too."""
    return set(parent.glob(f"attune-{os.getpid()}-*"))


def test_a_launcher_and_what_it_starts_are_in_one_cgroup_which_goes_with_it(parent: Path) -> None:
    before = groups(parent)
    launchers = Launchers()
    with launchers.launcher(SPEC) as launcher:
        (group,) = groups(parent) - before
        assert (group / "cgroup.procs").read_text().split() == [str(launcher.pid)]
        for _ in range(2):
            program = Program(["/bin/cat", "/proc/self/cgroup"], {}, b"{}\n")
            outcome = run_program(launcher, program, Supervision())
            assert group.name in outcome.stdout
        assert groups(parent) - before == {group}, "one for the launcher, and none for an execution"
    launchers.close()
    assert groups(parent) == before


def test_none_is_made_where_the_operator_wants_none(parent: Path) -> None:
    before = groups(parent)
    launchers = Launchers(LaunchersPolicy(cgroup=False))
    with launchers.launcher(SPEC):
        assert groups(parent) == before
    launchers.close()


def test_it_kills_all_that_is_in_it_and_is_removed(parent: Path) -> None:
    child = subprocess.Popen(["/bin/sh", "-c", "read line; setsid sleep 600 & sleep 600"], stdin=subprocess.PIPE)
    group = Cgroup.made(child.pid, parent)
    assert group is not None
    assert child.stdin is not None
    child.stdin.write(b"go\n")
    child.stdin.close()
    wait_until(lambda: len(group.pids()) == 3, "its processes")
    pids = group.pids()
    group.kill()
    child.wait()
    wait_until(lambda: not any(map(alive, pids)), "their end")
    assert group.remove()
    assert group.remove(), "once more does no harm"


def test_none_is_made_where_it_is_not_allowed_or_is_no_cgroup(tmp_path: Path) -> None:
    assert Cgroup.made(os.getpid(), tmp_path / "missing") is None
    assert Cgroup.made(os.getpid(), tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_has_ended_leaves_none(parent: Path) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    before = groups(parent)
    assert Cgroup.made(child.pid, parent) is None
    assert groups(parent) == before


def test_what_a_killed_worker_left_is_removed_by_the_next(parent: Path) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    stale, own = parent / f"attune-{child.pid}-0123", parent / f"attune-{os.getpid()}-0123"
    for path in (stale, own):
        path.mkdir()
    code = "import os, sys, subprocess\nfrom attune_tasks.process.cgroup import Cgroup\n"
    code += "c = subprocess.Popen(['/bin/cat'], stdin=-1)\ng = Cgroup.made(c.pid)\nc.communicate()\nassert g.remove()\n"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (stale.exists(), own.exists()) == (False, True)
    own.rmdir()


def test_its_bound_is_written_when_it_changes_and_only_where_the_controller_is(tmp_path: Path) -> None:
    group = Cgroup(tmp_path)
    group.bound(7)
    assert list(tmp_path.iterdir()) == [], "no pids controller: nothing is written"
    file = tmp_path / "pids.max"
    file.write_text("max")
    for processes, text in ((None, "max"), (7, "8"), (7, "8"), (12, "13"), (None, "max")):
        group.bound(processes)
        assert file.read_text() == text
    file.write_text("unchanged")
    group.bound(None)
    assert file.read_text() == "unchanged"
