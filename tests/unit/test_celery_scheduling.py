"""schedule(): the entry that it gives, what it refuses, and when it knows which packs there are."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, beat
from celery.schedules import crontab
from celery.schedules import schedule as interval

import attune_tasks
from attune_tasks._celery.beat_start import check_entries
from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import InvalidParametersError, UnknownActionError
from attune_tasks.tasks import NAME
from attune_tasks.testing import captured
from tests.integration.packs import write_packs
from tests.unit.test_celery_sending import make_app, sent

ACTION = (
    "ref: work.ping\nrunner_type: shell\nentry_point: add.py\nparameters:\n  host: {type: string, required: true}\n"
)


@pytest.fixture
def app(tmp_path: Path) -> Celery:
    made = make_app(tmp_path)
    path = tmp_path / "packs" / "work" / "actions" / "ping.yaml"
    path.write_text(f"{ACTION}  timeout: {{type: integer, default: 3}}\n", encoding="utf-8")
    return made


def test_the_entry_is_celerys_own_form(app: Celery) -> None:
    nightly = crontab(hour="2", minute="30")
    entry = attune_tasks.schedule(
        "work.add", nightly, a=1, timeout=30, queue="night", expires=timedelta(hours=1), priority=3, app=app
    )
    assert entry == {
        "task": NAME,
        "schedule": nightly,
        "args": ["work.add", {"a": 1}],
        "kwargs": {"timeout": 30},
        "options": {"queue": "night", "expires": 3600.0, "priority": 3},
    }
    del entry["schedule"]
    assert json.loads(json.dumps(entry)) == entry  # redbeat keeps JSON


def test_the_rest_of_the_options(app: Celery) -> None:
    once: dict[str, Any] = {"idempotency_key": "tick", "idempotency_seconds": 50}
    entry = attune_tasks.schedule("work.add", 60, a=1, caller="nightly", env={"A": "b"}, app=app, **once)
    assert entry["options"] == once | {"headers": {"attune_caller": "nightly"}}
    assert entry["kwargs"] == {"env": {"A": "b"}}


def test_parameters_that_are_called_as_its_own_arguments_come_by_the_mapping(app: Celery) -> None:
    with pytest.raises(InvalidParametersError, match=r"timeout: give the action's by `parameters=\{…\}`"):
        attune_tasks.schedule("work.ping", 60, host="a", timeout=5, app=app)
    entry = attune_tasks.schedule("work.ping", 60, parameters={"timeout": 5}, host="a", timeout=7, app=app)
    assert (entry["args"], entry["kwargs"]) == (["work.ping", {"timeout": 5, "host": "a"}], {"timeout": 7})
    with pytest.raises(TypeError, match="host"):
        attune_tasks.schedule("work.ping", 60, parameters={"host": "a"}, host="b", app=app)


def test_parameters_may_be_called_ref_and_when() -> None:
    entry = attune_tasks.schedule("elsewhere.action", 60, ref="main", when="now", app=Celery(set_as_current=False))
    assert entry["args"] == ["elsewhere.action", {"ref": "main", "when": "now"}]


def test_ref_and_parameters_are_checked_where_the_packs_are_known(app: Celery) -> None:
    with pytest.raises(UnknownActionError):
        attune_tasks.schedule("work.ad", 60, a=1, app=app)
    with pytest.raises(InvalidParametersError) as raised:
        attune_tasks.schedule("work.ping", 60, host=["never-shown"], app=app)
    assert "never-shown" not in str(raised.value)
    with pytest.raises(InvalidParametersError, match="no JSON value"):
        attune_tasks.schedule("work.ping", 60, host=object(), app=app)


def test_a_variable_names_the_packs_for_every_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobodys = Celery("default", set_as_current=False)
    monkeypatch.setattr("attune_tasks._celery.scheduling.get_current_app", lambda: nobodys)
    assert attune_tasks.schedule("work.ad", 60)["args"] == ["work.ad", {}]  # it is not known yet
    monkeypatch.setenv("ATTUNE_TASKS_PACKS", str(write_packs(tmp_path)))
    with pytest.raises(UnknownActionError):
        attune_tasks.schedule("work.ad", 60)


def test_what_the_current_app_was_given_by_now_counts_and_is_left_as_it_is(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending: Any = Celery("pending", set_as_current=False)
    pending.conf.attune_tasks = app.conf.attune_tasks
    monkeypatch.setattr("attune_tasks._celery.scheduling.get_current_app", lambda: pending)
    with pytest.raises(UnknownActionError):
        attune_tasks.schedule("work.ad", 60)
    assert not pending.configured  # it may still be given more


def test_settings_that_come_after_the_entry_count(app: Celery, tmp_path: Path) -> None:
    attune_tasks.schedule("work.add", 60, a=1, app=app)
    app.conf.attune_tasks = {"packs": [str(tmp_path / "packs")], "timeout": 5.0}
    assert state_of(app).loaded.settings.timeout == 5.0


def test_a_configuration_that_is_being_read_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Config:
        """As a module is that calls schedule() while the app imports it for its settings."""

        def __init__(self) -> None:
            raise AssertionError

    lazy = Celery("lazy", set_as_current=False, config_source=Config)
    monkeypatch.setattr("attune_tasks._celery.scheduling.get_current_app", lambda: lazy)
    assert attune_tasks.schedule("elsewhere.action", 60)["task"] == NAME


@pytest.mark.parametrize("when", [0, -1, True, "5 minutes", None, float("inf"), float("nan"), timedelta(0)])
def test_what_is_no_time_is_refused(when: Any) -> None:
    with pytest.raises(ValueError, match="when: expected"):
        attune_tasks.schedule("work.add", when)


@pytest.mark.parametrize("expires", [0, True, datetime.now(UTC), "60"])
def test_an_expiry_is_seconds_from_each_sending(expires: Any) -> None:
    with pytest.raises(ValueError, match="expires: expected"):
        attune_tasks.schedule("work.add", 60, expires=expires)


@pytest.mark.parametrize("when", [60, timedelta(minutes=1), interval(60)])
def test_a_key_that_would_hold_over_the_next_run_is_refused(when: Any) -> None:
    with pytest.raises(ValueError, match="less than the 60 seconds"):
        attune_tasks.schedule("work.add", when, idempotency_key="tick", idempotency_seconds=60)
    with pytest.raises(ValueError, match="stands beside it"):
        attune_tasks.schedule("work.add", when, idempotency_key="tick")


def test_beat_sends_it_as_it_says(app: Celery, tmp_path: Path) -> None:
    entry = attune_tasks.schedule("work.add", 60, a=12345, queue="night", caller="nightly", app=app)
    scheduler = beat.Scheduler(app, schedule={}, lazy=True)
    scheduler.apply_async(beat.ScheduleEntry(name="x", app=app, **entry), advance=False)
    message = sent(tmp_path, "night")
    assert message["body"][0] == ["work.add", {"a": 12345}]
    assert message["headers"]["attune_caller"] == "nightly"
    assert "12345" not in json.dumps(message["headers"])


def test_a_captured_call_needs_no_shared_state_for_its_key(app: Celery) -> None:
    once: dict[str, Any] = {"idempotency_key": "tick", "idempotency_seconds": 50}
    entry = attune_tasks.schedule("work.add", 60, a=1, app=app, **once)
    with captured() as calls:
        app.tasks[NAME].apply_async(entry["args"], entry["kwargs"], **entry["options"])
    assert [call.action_ref for call in calls] == ["work.add"]


def test_beat_says_at_its_start_what_can_not_be_run(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    app.conf.beat_schedule = {
        "good": {"task": NAME, "schedule": 60, "args": ["work.add", {"a": 1}]},
        "others": {"task": "shop.report", "schedule": 60, "args": [1, 2, 3, 4]},
        "unknown": {"task": NAME, "schedule": 60, "args": ["work.ad"]},
        "wrong": {"task": NAME, "schedule": 60, "args": ["work.ping", {"host": {"never": "shown"}}]},
        "arguments": {"task": NAME, "schedule": 60, "kwargs": {"action": "work.add"}},
    }
    with caplog.at_level(logging.ERROR):
        check_entries(SimpleNamespace(app=app))
    said = [record.getMessage() for record in caplog.records]
    assert [text.split()[3] for text in said] == ["unknown", "wrong", "arguments"]
    assert "shown" not in "".join(said)
