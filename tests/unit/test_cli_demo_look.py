"""The demo's look finds what it looks for, and shows no value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attune_tasks.cli.demo import _Demo
from attune_tasks.cli.demo_look import Surface, look_at_files, look_at_process, look_at_ps, naive_child, wait_for
from attune_tasks.cli.demo_workspace import Workspace
from attune_tasks.cli.own_worker import OwnWorker
from attune_tasks.proc import below, read

SECRETS = {"app/api#key": "planted-key-5581", "app/api#other": "another-key-9917"}


def test_a_secret_in_an_environment_is_found_by_ps_and_by_proc() -> None:
    with naive_child(SECRETS["app/api#key"]) as pid:
        from_ps = look_at_ps(SECRETS)
        environ, cmdline = look_at_process(pid, SECRETS)
    assert from_ps is not None
    assert from_ps.leaked == environ.leaked == ("app/api#key",)
    assert cmdline.leaked == ()
    assert environ.detail == "API_KEY"
    assert SECRETS["app/api#key"] not in f"{from_ps}{environ}"


def test_a_secret_on_a_command_line_is_found() -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", SECRETS["app/api#other"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        # Popen returns when the exec closes its descriptors, which is a moment before /proc has the arguments.
        wait_for(lambda: len(read(child.pid, "cmdline") or ()) == len(command), seconds=10)
        _, cmdline = look_at_process(child.pid, SECRETS)
        child.communicate()
    assert cmdline.leaked == ("app/api#other",)


def test_a_clean_process_leaks_nothing() -> None:
    assert [surface.leaked for surface in look_at_process(os.getpid(), SECRETS)] == [(), ()]


def test_a_process_that_has_ended_gives_nothing_to_look_at() -> None:
    with naive_child("x") as pid:
        pass
    assert list(look_at_process(pid, SECRETS)) == []


def test_a_secret_in_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "clean").write_text("nothing here", encoding="utf-8")
    (tmp_path / "log").write_bytes(b"\xff" + SECRETS["app/api#other"].encode())
    assert look_at_files("x", [tmp_path / "clean"], SECRETS).leaked == ()
    assert look_at_files("x", tmp_path.iterdir(), SECRETS).leaked == ("app/api#other",)


def test_without_ps_there_is_nothing_of_it_to_look_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look_at_ps(SECRETS) is None


def test_a_leak_is_a_problem_and_a_clean_surface_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _Demo(OwnWorker.__new__(OwnWorker), Workspace.__new__(Workspace))
    shown._report("Title:", [Surface("ps", "3 lines", ("app/api#key",)), Surface("log", "1 files", ())])
    assert shown._problems == ["LEAK: app/api#key stands in ps"]
    assert capsys.readouterr().out == "\nTitle:\n  ps   3 lines  LEAK\n  log  1 files  clean\n"


def test_grandchildren_in_other_sessions_are_found() -> None:
    inner = "import subprocess, sys; subprocess.run(['sleep', '60'], start_new_session=True)"
    with subprocess.Popen([sys.executable, "-c", inner], start_new_session=True) as child:
        found = wait_for(lambda: [each for each in below(child.pid) if each.parent == child.pid], seconds=10)
        assert [each.session for each in found] == [found[0].pid]
        os.kill(found[0].pid, 9)
