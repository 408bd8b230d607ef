"""The secrets' line is handed over to a child that is ready: to a fork that is undumpable from its first moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import attune_tasks.process.supervisor as supervisor_module
from attune_tasks.confinement import Confinement
from attune_tasks.context import ExecutionContext
from attune_tasks.process import Launcher, Launchers, LaunchersPolicy, Supervision
from attune_tasks.runtimes import get_runtime

# Sets its launcher dumpable, as a library may that changes its credentials, and notes how its forks begin.
_PRELOAD = """
import ctypes, os
prctl = ctypes.CDLL(None).prctl
def note(what):
    with open({place!r}, "a") as file:
        file.write(f"{{what}} {{prctl(3, 0, 0, 0, 0)}}\\n")  # PR_GET_DUMPABLE
note("launcher")
if {changed}:
    prctl(4, 1, 0, 0, 0)
    note("changed")
os.register_at_fork(after_in_child=lambda: note("fork"))
"""
_ACTION = """
import ctypes
def run(params):
    get_secret("key")
    return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
"""


class Place:
    """A pack whose launcher and forks note whether they are dumpable."""

    def __init__(self, folder: Path) -> None:
        """Make its folders."""
        self.folder = folder
        (folder / "lib").mkdir()
        (folder / "action.py").write_text(_ACTION)
        self.notes = folder / "notes"

    def run(self, launchers: Launchers, *, changed: bool = False, dumpable: bool = False) -> tuple[Any, list[str]]:
        """Run the action; give what it found of itself, and the notes."""
        self.notes.unlink(missing_ok=True)
        (self.folder / "lib" / "loaded.py").write_text(_PRELOAD.format(place=str(self.notes), changed=changed))
        context = ExecutionContext(
            1,
            "shop.give",
            secrets={"key": "a-secret-value"},
            code_path=self.folder / "action.py",
            pack_path=self.folder,
            pack_content=f"{changed}",
            confinement=Confinement(preload=("loaded",), dumpable=dumpable),
            timeout=30,
        )
        result = get_runtime("python", None).execute(context, Supervision(launchers=launchers))
        assert result.succeeded, result.error
        return result.result, self.notes.read_text().splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def launchers() -> Iterator[Launchers]:
    made = Launchers()
    yield made
    made.close()


def test_a_fork_is_undumpable_before_it_has_read_anything(place: Place, launchers: Launchers) -> None:
    assert place.run(launchers) == (0, ["launcher 0", "fork 0"])


def test_it_is_so_though_a_preload_has_made_its_launcher_dumpable(place: Place, launchers: Launchers) -> None:
    assert place.run(launchers, changed=True) == (0, ["launcher 0", "changed 1", "fork 0"])


def test_an_action_that_asks_for_it_is_dumpable_and_begins_undumpable(place: Place, launchers: Launchers) -> None:
    assert place.run(launchers, dumpable=True) == (1, ["launcher 0", "fork 0"])


def test_the_look_sees_a_dumpable_fork(place: Place) -> None:
    open_to_all = Launchers(LaunchersPolicy(undumpable=False))
    try:
        assert place.run(open_to_all) == (1, ["launcher 1", "fork 1"])
    finally:
        open_to_all.close()


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give what is done, as it is done: a launcher ready, a program started, one that waits told, the line written."""
    done: list[str] = []

    def noted(owner: Any, name: str, word: str) -> None:
        real = getattr(owner, name)

        def call(self: Any, *arguments: Any) -> Any:
            result = real(self, *arguments)
            done.append(word or f"wrote {arguments[0]}")
            return result

        monkeypatch.setattr(owner, name, call)

    noted(Launcher, "_await_ready", "ready")
    noted(Launcher, "run", "started")
    noted(Launcher, "run_standby", "told")
    noted(supervisor_module._Run, "_send", "")
    return done


def test_the_line_is_written_after_the_launcher_was_ready_and_had_its_order(
    place: Place, launchers: Launchers, order: list[str]
) -> None:
    place.run(launchers)
    assert order[:2] == ["ready", "started"]
    assert order.count("wrote stdin") >= 1


def test_a_bash_that_waits_is_written_to_after_it_was_told_that_its_execution_begins(
    tmp_path: Path, launchers: Launchers, order: list[str]
) -> None:
    script = tmp_path / "action.sh"
    script.write_text("get_secret key >/dev/null\n")
    runtime = get_runtime("shell", None)
    for number in range(20):
        order.clear()
        context = ExecutionContext(number, "shop.give", secrets={"key": "a-secret-value"}, code_path=script, timeout=30)
        assert runtime.execute(context, Supervision(launchers=launchers)).succeeded
        if "told" in order:
            break
    assert order[0] == "told"
    assert order.index("wrote stdin") > 0
