"""leak-check's surfaces of Celery on the embedded broker: folders in place of keys, and no channels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from celery import Celery

from attune_tasks._celery.leaks.controls import CONTROLS, Control, remove_parked
from attune_tasks._celery.leaks.surfaces import celery_surfaces
from attune_tasks.leaks import Row
from tests.celery_worker import CeleryWorker
from tests.integration.leaks_watch import Watch, control_sent, honest_sent, write_leak_packs
from tests.integration.workers import Place, make_place, worker

NAME = "leaks@here"
FOUND = {
    ("broker keys", "waiting parameter"): ("file queues/=attune-leak-check-parked/", "plain"),
    ("backend keys", "secret"): ("file celery-task-meta-", "reversed"),
    ("events", "name"): ("event task-received, field name", "plain"),
    ("inspect", "parameter"): ("inspect active, args, text", "plain"),
    ("result", "secret"): ("of task", "reversed"),
    ("log", "name"): ("worker.log", "plain"),
}
NAMES = tuple(name for name, _ in FOUND)
UNSEEN = {
    "pub/sub": "neither broker nor result backend is a Redis",
    "commands (MONITOR)": "neither broker, result backend nor shared state is a Redis",
    "live stream": "there is no shared state",
}
Rows = dict[tuple[str, str], Row]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = make_place(tmp_path_factory.mktemp("leaks"))
    write_leak_packs(made)
    return made


@pytest.fixture(scope="module")
def leaks_worker(place: Place) -> Iterator[CeleryWorker]:
    with worker(place, "-P", "threads", "-c", "2", "-n", NAME) as running:
        yield running


@pytest.fixture(scope="module")
def rows(place: Place, leaks_worker: CeleryWorker) -> Rows:
    """Watch an honest execution, and the controls that there is something to see of here."""
    app: Celery = place.client()
    pid = leaks_worker.process.pid
    watch = Watch(app, lambda seeker: celery_surfaces(app, seeker, NAME, own_redis=True, main_pid=pid), pid)
    watch.run(partial(honest_sent, place, app), "honest")
    for control in {each.how: each for each in CONTROLS if (each.surface, each.how) in FOUND}.values():
        watch.run(partial(control_sent, place, app, control=control), control.how)
    found = watch.end()
    remove_parked(app)
    assert [path for path in place.embedded.rglob("*parked*/*") if path.is_file()] == []
    return found


@pytest.mark.parametrize("name", NAMES)
def test_an_honest_execution_is_clean(rows: Rows, name: str) -> None:
    assert rows[name, "honest"].verdict == "clean", rows[name, "honest"]


@pytest.mark.parametrize(
    "control", [each for each in CONTROLS if (each.surface, each.how) in FOUND], ids=lambda control: control.surface
)
def test_each_control_is_found_at_its_place(rows: Rows, control: Control) -> None:
    row = rows[control.surface, control.how]
    assert row.verdict == "LEAK", row
    where, variant = FOUND[control.surface, control.how]
    assert [hit for hit in row.hits if where in hit.where and hit.variant == variant], row.hits


@pytest.mark.parametrize("name", UNSEEN)
def test_what_there_is_none_of_is_not_looked_at(rows: Rows, name: str) -> None:
    row = rows[name, "honest"]
    assert row.verdict == "not looked at"
    assert UNSEEN[name] in row.why
