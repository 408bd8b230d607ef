"""Brokers and backends of each kind: what is looked at there, why not, and which control each surface has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

import attune_tasks
from attune_tasks._celery.leaks import keys
from attune_tasks._celery.leaks.controls import CONTROLS
from attune_tasks._celery.leaks.folder_keys import EmbeddedBrokerKeys
from attune_tasks._celery.leaks.keys import KeysSurface, Place
from attune_tasks._celery.leaks.surfaces import celery_surfaces
from attune_tasks.leaks import Row, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_short_canary
from attune_tasks.packs import PackRegistry

PACK = Path(attune_tasks.__file__).parent / "_bundled" / "leak_packs"
VALUE = make_short_canary()


@contextmanager
def made_app(broker: str, backend: str | None, **settings: Any) -> Iterator[Celery]:
    app = Celery("kinds", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(settings)
    yield app
    app.close()


def rows_of(app: Celery, *names: str) -> dict[str, Row]:
    """Look at an execution that has a value; nobody runs it."""
    seeker = ValueSeeker()
    seeker.add(7, {"token": VALUE})
    watched = [Watched(7, "task-7", "python", is_over=True)]
    found: dict[str, Row] = {}
    for surface in celery_surfaces(app, seeker, "worker@here"):
        if surface.name in names:
            surface.begin()
            surface.look(watched)
            found |= {row.surface: row for row in surface.end(watched)}
    assert set(found) == set(names)
    return found


@pytest.mark.parametrize(("url", "kind"), [("amqp://nowhere.invalid//", "amqp"), ("memory://", "memory")])
def test_a_broker_that_can_not_be_read_is_not_looked_at(url: str, kind: str) -> None:
    with made_app(url, None) as app:
        row = rows_of(app, "broker keys")["broker keys"]
    assert row.verdict == "not looked at"
    assert f"of the kind {kind} can't be read without taking its messages" in row.why


@pytest.mark.parametrize(
    ("backend", "why"), [("rpc://", "sent to their callers alone"), (None, "there is no result backend")]
)
def test_a_backend_that_keeps_nothing_is_not_looked_at(backend: str | None, why: str) -> None:
    with made_app("memory://", backend) as app:
        rows = rows_of(app, "backend keys", "result", "error and traceback", "live stream", "pub/sub")
    assert {row.verdict for row in rows.values()} == {"not looked at"}
    assert why in rows["result"].why
    assert why in rows["error and traceback"].why


def test_a_backend_of_files_is_looked_at(tmp_path: Path) -> None:
    with made_app("memory://", f"file://{tmp_path}") as app:
        app.backend.store_result("task-7", {"text": VALUE[::-1]}, "SUCCESS")
        rows = rows_of(app, "backend keys", "result")
        assert {row.verdict for row in rows.values()} == {"LEAK"}
        assert rows["backend keys"].hits[0].where == "key celery-task-meta-task-7"
        app.backend.forget("task-7")  # a SUCCESS is not written over
        app.backend.store_result("task-7", {"text": "harmless"}, "SUCCESS")
        assert {row.verdict for row in rows_of(app, "backend keys", "result").values()} == {"clean"}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (60.0, "3 entries (98304 KiB) were looked at, of 4 files, then the 64 MiB for one look were used up"),
        (0.0, "1 entries (32768 KiB) were looked at, of 4 files, then the 0 s for one look were used up"),
    ],
)
def test_where_a_look_ends_before_all_was_seen_it_says_how_far_it_came_and_why(
    seconds: float, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Source(EmbeddedBrokerKeys):
        def read(self, *_: Any) -> Iterator[Place]:
            yield from (Place("here", bytes(32 << 20)) for _ in range(4))

    for number in range(4):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr(keys, "_END_BOUND", seconds)
    surface = KeysSurface("broker keys", ValueSeeker(), Source(tmp_path))
    surface.begin()
    (row,) = surface.end([Watched(7, "task-7", "python", is_over=True)])
    assert (row.verdict, row.why) == ("clean", said)


def test_an_error_is_looked_at_in_all_its_parts(tmp_path: Path) -> None:
    name = "error and traceback"
    with made_app("memory://", f"file://{tmp_path}") as app:
        app.backend.mark_as_failure("task-7", ValueError(f"no: {VALUE}"), traceback=f"at line 1: {VALUE}")
        wheres = {hit.where for hit in rows_of(app, name)[name].hits}
    error = {f"ValueError, its {part}" for part in ("repr", "text", "arguments")}
    assert wheres >= {f"{name} of task task-7, {part}" for part in (*error, "traceback", "as stored")}


def test_each_surface_has_a_control_which_says_so() -> None:
    with made_app("memory://", None) as app:
        names = [surface.name for surface in celery_surfaces(app, ValueSeeker(), "worker@here")]
    assert len(set(names)) == len(names)
    assert {control.surface for control in CONTROLS} == set(names)
    registry = PackRegistry.load([PACK], runtimes={"python", "shell", "executable"})
    for control in CONTROLS:
        is_tagged = f"surface={control.surface}" in registry.get(control.action).tags
        assert is_tagged == (control.how == "secret"), control
