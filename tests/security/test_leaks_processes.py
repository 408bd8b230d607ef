"""leak-check's surfaces of processes: each catches the control that leaks there, and is quiet about honest actions."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.processes import process_surfaces
from attune_tasks.leaks.seeker import ValueSeeker
from tests.ordinary import OrdinaryUser
from tests.security.process_looks import CONTROLS, TRIES, Look, looked_at, write_honest

SURFACES: Final = [surface.name for surface in process_surfaces(ValueSeeker())]
ROOT: Final = os.geteuid() == 0
CONTROL: Final = {
    "environment": "environ of sleep (pid N), variable CANARY_KEY",
    "argument": "command line of bash (pid N), argument 5",
    "detached_argument": "command line of bash (pid N), argument 4",
    "process_name": "name of thread N of python",
    "open_file": "descriptor 7 of bash (pid N): /tmp/",
    "mapped_file": "(pid N) has mapped: /tmp/",
    "working_folder": "cwd of bash (pid N): /tmp/",
    "launcher_memory": "(pid N, the launcher), heap",
    "main_memory": "(pid N, the main process), heap",
    "core_dump": "core file of pid N: /tmp/",
}
NEED_ROOT: Final = {"launcher_memory", "main_memory"}
AS_ROOT_ALONE: Final = pytest.mark.skipif(not ROOT, reason="root alone writes into the memory of undumpable processes")


def tagged(control: str) -> list[str]:
    """Give the surfaces on which a control has to be caught."""
    metadata = yaml.safe_load((CONTROLS / "leak_controls" / "actions" / f"{control}.yaml").read_text())
    return [tag.partition("=")[2] for tag in metadata["tags"] if tag.startswith("surface=")]


def looked_at_by(
    user: OrdinaryUser, ref: str, surfaces: Collection[str] = (), *, root: bool = False, **more: Any
) -> Look:
    """Look in a process of an ordinary user, or of root with an interpreter that every user can start.

    `surfaces` are those that should leak.
    """
    as_root: dict[str, Any] = {"user": 0, "group": 0, "umask": 0o022} if root else {}
    if root:
        as_root["env"] = user.environment() | {"TMPDIR": "/tmp"}
        user.folder.chmod(0o755)
    own = "write_honest(Path(mkdtemp(dir='.')).absolute())" if ref.startswith("honest.") else "CONTROLS"
    for seconds in TRIES:
        code = (
            "from pathlib import Path; from tempfile import mkdtemp;"
            " from tests.security.process_looks import CONTROLS, looked_at, write_honest;"
            f"packs = {own}; packs.chmod(0o755) if packs != CONTROLS else None;"
            f"print(looked_at({ref!r}, packs, {{'seconds': {seconds}}}, **{more!r}).to_json())"
        )
        found = Look.from_json(user.run(code, **as_root))
        assert found.status == "succeeded", found.error
        if found.has_seen_all() and set(surfaces) <= found.leaks().keys():
            break
    return found


def test_every_surface_has_a_control() -> None:
    tags = {surface for control in CONTROL for surface in tagged(control)}
    assert set(SURFACES) <= tags


@pytest.mark.parametrize(
    "control", [pytest.param(name, marks=AS_ROOT_ALONE) if name in NEED_ROOT else name for name in CONTROL]
)
def test_a_control_is_caught_where_it_leaks_and_named_without_its_value(control: str) -> None:
    for seconds in TRIES:
        found = looked_at(f"leak_controls.{control}", parameters={"seconds": seconds})
        assert found.status == "succeeded", found.error
        if set(tagged(control)) <= found.leaks().keys():
            break
    leaks = found.leaks()
    assert set(tagged(control)) <= leaks.keys(), found.rows
    first = leaks[tagged(control)[0]]
    places = [re.sub(r"(pid|thread) \d+", r"\1 N", hit.where) for hit in first]
    assert any(CONTROL[control] in place for place in places), places
    assert {hit.variant for hit in first} <= {"plain", "core dump"}
    shown = json.dumps([row.to_dict() for row in found.rows.values()], ensure_ascii=False)
    for value in found.values.values():
        for line in value.splitlines():
            assert line not in shown
            assert json.dumps(line)[1:-1] not in shown


@pytest.mark.parametrize("runtime", ["python", "python-exec", "shell", "executable"])
def test_an_honest_action_is_clean_on_every_surface(tmp_path: Path, runtime: str) -> None:
    packs = write_honest(tmp_path)
    for seconds in TRIES:
        found = looked_at(f"honest.{runtime}", packs, {"seconds": seconds})
        assert found.status == "succeeded", found.error
        if found.has_seen_all():
            break
    verdicts = {name: row.verdict for name, row in found.rows.items()}
    if ROOT:
        assert verdicts.pop("seen by the same user") == "not looked at"
        assert "the action's user is root" in found.rows["seen by the same user"].why
        assert set(verdicts.values()) == {"clean"}, found.rows
    else:
        assert "LEAK" not in verdicts.values(), found.rows


def test_where_the_main_process_runs_the_actions_its_memory_is_not_looked_at(tmp_path: Path) -> None:
    row = looked_at("honest.shell", write_honest(tmp_path), pool="threads").rows["main process memory"]
    assert row.verdict == "not looked at"
    assert "the main process runs the actions itself" in row.why


def test_an_ordinary_user_is_told_what_it_cannot_see_and_how_to_see_it(ordinary_user: OrdinaryUser) -> None:
    rows = looked_at_by(ordinary_user, "honest.python").rows
    for name in ("launcher memory", "main process memory", "seen by another user"):
        assert rows[name].verdict == "not looked at", rows[name]
        assert "start the worker as root" in rows[name].why
    assert rows["seen by another user"].why == f"only root can become another user: {AS_ROOT}"
    # The action is a fork of its launcher, which is closed; what it has started by exec is not.
    for name in ("environ", "open files", "mapped files", "names of working folders"):
        assert rows[name].verdict == "clean", rows[name]
        assert f"closed to user {ordinary_user.uid}" in rows[name].why
        assert "the main process" in rows[name].why, rows[name]
    for name in ("command lines", "process names", "core files"):
        assert (rows[name].verdict, rows[name].why) == ("clean", "")
    assert rows["seen by the same user"].verdict == "clean"
    assert "memory of the action's own processes is left out" in rows["seen by the same user"].why


@pytest.mark.parametrize("control", [name for name in CONTROL if name not in NEED_ROOT])
def test_an_ordinary_user_catches_the_controls_that_need_no_root(ordinary_user: OrdinaryUser, control: str) -> None:
    surfaces = set(tagged(control)) - {"seen by another user"}
    found = looked_at_by(ordinary_user, f"leak_controls.{control}", surfaces)
    assert surfaces <= found.leaks().keys(), found.rows


def test_the_memory_of_a_worker_that_is_open_to_its_user_is_a_leak(ordinary_user: OrdinaryUser) -> None:
    more: dict[str, Any] = {"undumpable": False, "settings": {"launchers": {"undumpable": False}}}
    found = looked_at_by(ordinary_user, "honest.shell", **more)
    hits = found.leaks()["seen by the same user"]
    assert any(hit.where.endswith("the pool process)") for hit in hits), hits
    assert not any("the main process)" in hit.where for hit in hits), "it never had the values"


def test_with_run_as_root_looks_as_the_actions_user_and_finds_the_worker_closed(ordinary_user: OrdinaryUser) -> None:
    settings = {"run_as": "nobody"}
    rows = looked_at_by(ordinary_user, "honest.python-exec", root=True, settings=settings).rows
    assert {row.verdict for row in rows.values()} == {"clean"}, rows
    surfaces = {"environ", "seen by the same user"}
    found = looked_at_by(ordinary_user, "leak_controls.environment", surfaces, root=True, settings=settings)
    assert surfaces <= found.leaks().keys()
