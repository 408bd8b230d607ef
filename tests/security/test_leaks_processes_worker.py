"""leak-check's surfaces of processes, looking at a real prefork worker."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Final

import pytest

from attune_tasks import ExecutionResult, enqueue
from attune_tasks._celery.launchers_seen import launchers_below
from attune_tasks.leaks import Row, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_canary, make_short_canary
from attune_tasks.leaks.processes import process_surfaces
from tests.celery_worker import CeleryWorker
from tests.integration.workers import Place, make_place, worker
from tests.processes import status_of
from tests.security.process_looks import CONTROLS, TRIES, write_honest

ROOT: Final = os.geteuid() == 0
VALUES: Final = {"canary": make_canary(), "canary_short": make_short_canary()}
AS_ROOT_ALONE: Final = pytest.mark.skipif(not ROOT, reason="root alone writes into the memory of undumpable processes")
_PAUSE: Final = 0.1


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Give a place with the controls and the honest actions, whose secrets are in the file of the provider."""
    made = make_place(tmp_path_factory.mktemp("leaks"))
    write_honest(made.packs)
    actions = made.packs / "leak_controls" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: leak_controls\n")
    for path in (CONTROLS / "leak_controls" / "actions").iterdir():
        (actions / path.name).write_bytes(path.read_bytes())
    for path in made.packs.glob("*/actions/*.yaml"):
        path.write_text(path.read_text().replace("canary://leak-check#", "leak/check#"))
    with made.secrets.open("a") as file:
        file.write("leak/check:\n" + "".join(f"  {name}: {json.dumps(value)}\n" for name, value in VALUES.items()))
    return made


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[CeleryWorker]:
    with worker(place, "-c", "1") as running:
        yield running


def rows_of(place: Place, running: CeleryWorker, ref: str, seconds: int) -> dict[str, Row]:
    """Run an action and look at it."""
    seeker = ValueSeeker()
    surfaces = process_surfaces(seeker)
    handle = enqueue(ref, {"seconds": seconds}, app=place.client())
    seeker.add(handle.execution_id, VALUES)
    watched = Watched(handle.execution_id, handle.task_id, "shown", running.process.pid)
    for surface in surfaces:
        surface.begin()
    result: ExecutionResult | None = None
    while result is None:
        for seen in launchers_below(running.process.pid):
            if seen.busy:
                watched.launcher_pid, watched.pool_pid = seen.pid, int(status_of(seen.pid)["PPid"])
        for surface in surfaces:
            surface.look([watched])
        try:
            result = handle.result(timeout=_PAUSE)
        except TimeoutError:
            continue
    assert result.status == "succeeded", result
    assert watched.pool_pid != running.process.pid
    return {row.surface: row for surface in surfaces for row in surface.end([watched])}


@pytest.mark.parametrize("runtime", ["python", "python-exec", "shell", "executable"])
def test_a_prefork_worker_keeps_the_secrets_of_its_actions(place: Place, running: CeleryWorker, runtime: str) -> None:
    for seconds in TRIES:
        rows = rows_of(place, running, f"honest.{runtime}", seconds)
        if not any("too soon" in row.why or "was not seen" in row.why for row in rows.values()):
            break
    of_root = rows.pop("seen by the same user")
    if ROOT:
        assert of_root.verdict == "not looked at"
        assert {row.verdict for row in rows.values()} == {"clean"}, rows
    assert "LEAK" not in {of_root.verdict, *(row.verdict for row in rows.values())}, rows


@pytest.mark.parametrize(
    ("control", "surface"),
    [
        ("environment", "environ"),
        ("argument", "ps auxe"),
        pytest.param("launcher_memory", "launcher memory", marks=AS_ROOT_ALONE),
        pytest.param("main_memory", "main process memory", marks=AS_ROOT_ALONE),
    ],
)
def test_the_same_look_catches_what_leaks_there(
    place: Place, running: CeleryWorker, control: str, surface: str
) -> None:
    for seconds in TRIES:
        rows = rows_of(place, running, f"leak_controls.{control}", seconds)
        if rows[surface].verdict == "LEAK":
            break
    assert rows[surface].verdict == "LEAK", rows
    others = {name for name, row in rows.items() if row.verdict == "LEAK"}
    assert "memory" in surface or not {name for name in others if "memory" in name}, others
