"""What a scanner tells and gives, and to whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import Celery

from attune_tasks._celery.leaks.all_surfaces import all_surfaces
from attune_tasks._celery.leaks.check import Check
from attune_tasks._celery.leaks.controls import CONTROLS as SENT
from attune_tasks._celery.leaks.scanner_task import ScannerTask
from attune_tasks.contrib.django.options import RECORDS_SURFACE
from attune_tasks.known_packs import CONTROL_PACK, load_packs
from attune_tasks.leaks import ValueSeeker, Watched
from attune_tasks.leaks.processes.cores import CoreFiles
from attune_tasks.leaks.processes.watching import Processes
from attune_tasks.packs import PackRegistry
from attune_tasks.settings import load_settings
from tests.leak_runs import CONTROLS, write_action


def app_of_a_test() -> Celery:
    app = Celery("leaks", broker="memory://", set_as_current=False)
    app.conf.attune_tasks = {"packs": []}
    return app


def test_a_canary_action_alone_may_be_given_another_reference(tmp_path: Path) -> None:
    ref = write_action(tmp_path, "it", "get_secret canary\n")
    registry = PackRegistry.load([CONTROLS / "leak_check", tmp_path], runtimes=("python", "shell", "executable"))
    check = Check(registry, 1, ValueSeeker(), [])
    told = {}
    for number, (action, refs) in enumerate(
        [
            (ref, {}),
            (ref, {"canary": "vault://other/secret#f"}),
            ("leak_check.shell_shows", {"canary": "vault://a/b#c"}),
        ]
    ):
        ids = {"execution_id": str(number), "task_id": f"t{number}"}
        told[number] = check.answer({"op": "watch", "ref": action, "refs": refs, **ids}, 1)
    assert told[0] == {"runtime": "shell", "secrets": ["canary", "canary_short"]}
    assert "is no canary action" in told[1]["refused"]
    assert told[2]["runtime"] == "shell"
    asked = {"op": "secrets", "names": ["canary", "canary_short"]}
    assert "does not watch" in check.answer({**asked, "execution_id": "1"}, 1)["refused"]
    given = check.answer({**asked, "execution_id": "2"}, 1)
    assert given["refs"] == {"canary": "vault://a/b#c"}
    assert set(given["values"]) == {"canary_short"}


@pytest.mark.parametrize(
    ("ref", "leaks"), [("leak_check.executable_shows", True), ("leak_controls.core_dump", True), ("own.it", False)]
)
def test_a_result_that_tells_of_core_dumps_is_believed_of_our_own_actions_alone(
    tmp_path: Path, ref: str, *, leaks: bool
) -> None:
    write_action(tmp_path, "it", "get_secret canary\n")
    registry = PackRegistry.load([CONTROLS, tmp_path], runtimes=("python", "shell", "executable"))
    check = Check(registry, 1, ValueSeeker(), [])
    check.answer({"op": "watch", "ref": ref, "execution_id": "7", "task_id": "t7"}, 1)
    check.answer({"op": "over", "execution_id": "7", "core_dumps": 2}, 1)
    surface = CoreFiles(ValueSeeker(), Processes())
    surface.begin()
    (row,) = surface.end(list(check._watched.values()))
    assert (row.verdict == "LEAK") == leaks, row
    assert [hit.where for hit in row.hits] == ["the kernel says of 2 crashed processes that they dumped core"] * leaks


@pytest.mark.parametrize(
    ("enabled", "controls", "packs"),
    [
        (False, False, set()),
        (False, True, set()),
        (True, False, {"leak_check"}),
        (True, True, {"leak_check", "leak_controls"}),
    ],
)
def test_what_leaks_on_purpose_is_known_only_where_the_settings_say_so(
    tmp_path: Path, *, enabled: bool, controls: bool, packs: set[str]
) -> None:
    given = {"packs": [], "leak_check": {"enabled": enabled, "controls": controls}}
    registry = load_packs(load_settings(overrides=given, environ={}, directory=tmp_path))
    assert {action.pack.ref for action in registry.actions} == packs


def test_without_controls_none_is_sent() -> None:
    check = Check(PackRegistry.load([], runtimes=()), 1, ValueSeeker(), [], send=None)
    told = check.answer({"op": "send", "number": 0, "label": "x", "seconds": 1}, 1)
    assert told == {"refused": "this worker has no controls: the setting leak_check.controls is off"}
    assert check._watched == {}


@pytest.mark.parametrize(("runs_ref", "advice"), [(False, "--canary-ref vault://"), (True, "--real")])
def test_where_vault_is_not_asked_the_advice_fits_what_is_run(*, runs_ref: bool, advice: str) -> None:
    task = ScannerTask(app_of_a_test(), "", 1, "w@h", "q", runs_ref=runs_ref)
    (surface,) = [each for each in all_surfaces(task, ValueSeeker()) if each.name == "Vault's audit log"]
    surface.begin()
    (row,) = surface.end([Watched(7, "t7", "shell")])
    assert (row.verdict, advice in row.why) == ("not looked at", True)
    assert ("--canary-ref" in row.why) != runs_ref


def test_each_control_names_a_surface_that_there_is_and_each_surface_has_one() -> None:
    """One that is mistyped would be left out in silence, as a web framework's is where there is none."""
    task = ScannerTask(app_of_a_test(), "", 1, "w@h", "q")
    names = {surface.name for surface in all_surfaces(task, ValueSeeker())} | {RECORDS_SURFACE}
    registry = PackRegistry.load([CONTROLS / CONTROL_PACK], runtimes=("python", "shell"))
    tagged = {tag.removeprefix("surface=") for action in registry.actions for tag in action.tags if "surface" in tag}
    assert tagged | {control.surface for control in SENT} == names
