"""What leak-check sees in files: every control is caught where it leaks, an honest action is not."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.file_surfaces import FileRoots, file_surfaces
from attune_tasks.packs import PackRegistry
from tests.leak_runs import CONTROLS as PACKS
from tests.leak_runs import LeakRun, write_action
from tests.ordinary import OrdinaryUser

HONEST = """\
get_secret -v canary canary
get_secret -v canary_short canary_short
echo "${#canary} ${#canary_short}" >sizes
exec 5<>notes
rm notes
echo nothing >&5
sleep 1
"""


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileRoots:
    """Give folders of the test's own, but for /dev/shm."""
    for name in ("home", "changed", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    # The user's own home is looked at besides; it may be a large one.
    return FileRoots(
        temporary=[tmp_path / "tmp"], home=[tmp_path / "home"], home_seconds=1.0, changed=[tmp_path / "changed"]
    )


CONTROLS = {
    "temporary_file": ("temporary folders", "/credentials", "shell"),
    "tmp_file": ("temporary folders", "/tmp/leak-control-", "python"),
    "shared_memory": ("/dev/shm", "/dev/shm/leak-control-", "python"),
    "working_folder_file": ("working folder", "/settings.ini", "python"),
    "home_file": ("home", "/home/.leak-control-", "python"),
    "changed_file": ("changed files", "/changed/leak-control.log", "python"),
    "file_name": ("temporary folders", "the name of a file in ", "shell"),
    "deleted_file": ("deleted files", "/fd/", "python"),
    "memfd": ("deleted files", "/memfd:leak-control ", "python"),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_each_control_is_caught_on_its_surface(control: str, roots: FileRoots, tmp_path: Path) -> None:
    surface, where, runtime = CONTROLS[control]
    run = LeakRun(runtime)
    if control == "tmp_file":
        roots = replace(roots, temporary=["/tmp"])
    parameters = {"folder": str(tmp_path / "changed")} if control in {"changed_file", "working_folder_file"} else {}
    row = run.rows(f"leak_controls.{control}", file_surfaces(run.seeker, roots=roots), parameters=parameters)[surface]
    assert row.verdict == "LEAK", row
    hit = next(hit for hit in row.hits if where in hit.where)
    assert (hit.secret, hit.variant) == ("canary_short" if control == "file_name" else "canary", "plain")
    assert hit.program, "the process that has it open, or is in its folder"
    assert not list(tmp_path.glob("*/*leak-control*")) or control == "changed_file", "it cleans up behind itself"


def test_the_surfaces_of_the_controls_are_those_of_their_tags() -> None:
    actions = PackRegistry.load([PACKS / "leak_controls"], runtimes=("python", "shell")).actions
    tags = {action.ref.partition(".")[2]: action.tags for action in actions}
    for control, (surface, _, _) in CONTROLS.items():
        assert f"surface={surface}" in tags[control]


def test_an_honest_action_is_clean_on_every_surface(roots: FileRoots, tmp_path: Path) -> None:
    run = LeakRun("shell")
    rows = run.rows(write_action(tmp_path, "honest", HONEST), file_surfaces(run.seeker, roots=roots), packs=tmp_path)
    told = {name: (row.verdict, "" if name == "home" else row.why) for name, row in rows.items()}
    assert told == dict.fromkeys(
        ("temporary folders", "/dev/shm", "deleted files", "working folder", "home", "changed files"), ("clean", "")
    )


def test_a_program_that_has_the_value_in_a_file_is_named_with_its_command_line_masked(
    roots: FileRoots, tmp_path: Path
) -> None:
    script = (
        "get_secret -v canary_short canary_short\n"
        'bash -c \'exec 5>"$1/kept-$2"; echo "$2" >&5; sleep 1; :\' it "$ATTUNE_ACTION_FOLDER" "$canary_short"\n'
    )
    ref = write_action(tmp_path, "kept", script, more="parameters: {folder: {}}\n")
    run = LeakRun("shell")
    parameters = {"folder": str(tmp_path / "changed")}
    rows = run.rows(ref, file_surfaces(run.seeker, roots=roots), packs=tmp_path, parameters=parameters)
    hits = rows["changed files"].hits
    assert {hit.where.startswith("the name of a file") for hit in hits} == {True, False}
    assert {hit.program.endswith("***") and "bash -c" in hit.program for hit in hits} == {True}, hits


@pytest.mark.parametrize("runtime", ["python", "shell"])
def test_an_ordinary_user_is_told_what_it_can_not_see(runtime: str, ordinary_user: OrdinaryUser) -> None:
    code = f"from tests.security.leaks_as_user import look; look({runtime!r}, {str(ordinary_user.folder)!r})"
    rows: dict[str, Any] = json.loads(ordinary_user.run(code))
    blind = {name for name, (verdict, why) in rows.items() if verdict == "not looked at" and "as root" in why}
    assert blind == ({"deleted files", "working folder"} if runtime == "python" else set()), rows
    assert rows["home"][0] == "clean"
    verdict, why = rows["changed files"]
    assert verdict == "clean"
    assert f"can't be looked into: {AS_ROOT} (1" in why
    assert "can't be read: start the worker as root" in why


@pytest.mark.parametrize("control", ["deleted_file", "working_folder_file"])
def test_an_ordinary_user_catches_what_leaks_where_it_can_look(control: str, ordinary_user: OrdinaryUser) -> None:
    code = f"from tests.security.leaks_as_user import catch; catch({control!r}, {str(ordinary_user.folder)!r})"
    assert json.loads(ordinary_user.run(code))[CONTROLS[control][0]] == "LEAK"
