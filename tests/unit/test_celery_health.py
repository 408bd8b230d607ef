"""What a worker notes of itself, and the judgement by it; real workers are in tests/integration/test_health.py."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from celery import Celery

from attune_tasks._celery.health import look
from attune_tasks._celery.health.look import look_at_worker
from attune_tasks._celery.health.note import HealthNote, read_note, write_note


def note(**changes: object) -> HealthNote:
    made = HealthNote(at=time.monotonic(), received=3, started=2, busy=0, slots=2, queues=("celery",))
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    """Give an app whose queue has a message that nobody takes."""
    monkeypatch.setattr(look, "_waiting", lambda *_: 1)
    return Celery("health", broker="memory://", backend="cache+memory://", set_as_current=False)


def test_a_note_is_read_as_it_was_written_and_leaves_nothing_beside(tmp_path: Path) -> None:
    written = note(blocking=True, queues=("a", "b"))
    write_note(tmp_path / "health", written)
    assert read_note(tmp_path / "health") == written
    assert [path.name for path in tmp_path.iterdir()] == ["health"]


@pytest.mark.parametrize("text", ["", "{}", "[]", "7", '{"at": 1}', '{"queues": []}', "\x00", '{"queues": [], "x": 1}'])
def test_what_is_no_note_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "health").write_text(text, encoding="utf-8")
    assert read_note(tmp_path / "health") is None


def test_what_waits_beside_a_free_slot_is_a_fault(tmp_path: Path, app: Celery) -> None:
    write_note(tmp_path / "health", note())
    verdict = look_at_worker(app, tmp_path / "health", 0)
    assert not verdict.healthy
    assert verdict.text.startswith("1 messages wait in celery, 2 of 2 slots are free")


@pytest.mark.parametrize("changes", [{"stopping": True}, {"busy": 2}, {"busy": 2, "blocking": True, "at": 0.0}])
def test_a_worker_that_is_stopped_or_full_is_well(tmp_path: Path, app: Celery, changes: dict[str, object]) -> None:
    write_note(tmp_path / "health", note(**changes))
    assert look_at_worker(app, tmp_path / "health", 0).healthy


@pytest.mark.parametrize("seconds", [60.0, -60.0])
def test_a_note_that_is_old_or_of_another_start_of_the_machine_is_a_fault(
    tmp_path: Path, app: Celery, seconds: float
) -> None:
    write_note(tmp_path / "health", note(at=time.monotonic() - seconds))
    verdict = look_at_worker(app, tmp_path / "health", 0)
    assert not verdict.healthy
    assert "has noted nothing" in verdict.text


def test_a_broker_that_does_not_answer_in_time_is_not_the_workers_fault(
    tmp_path: Path, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    released = threading.Event()
    monkeypatch.setattr(look, "_waiting", lambda *_: released.wait(60))
    monkeypatch.setattr(look, "_BROKER_SECONDS", 0.05)
    write_note(tmp_path / "health", note(at=0.0))
    verdict = look_at_worker(app, tmp_path / "health", 0)
    released.set()
    assert verdict.healthy
    assert "the broker can't be reached" in verdict.text
