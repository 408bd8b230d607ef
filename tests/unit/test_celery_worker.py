"""What a worker refuses and prepares; the real ones are in tests/integration."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from attune_tasks._celery.worker import prepare_worker, report_start
from attune_tasks.tasks import run_action
from tests.integration.packs import write_packs


def sender(folder: Path, pool: Any = "prefork") -> Any:
    app = Celery("worker", set_as_current=False)
    app.conf.attune_tasks = {"packs": [str(folder)]}
    return SimpleNamespace(app=app, pool_cls=pool)


@pytest.mark.parametrize("pool", ["gevent", "eventlet", "celery.concurrency.gevent:TaskPool"])
def test_green_pools_are_refused_by_name(tmp_path: Path, pool: str) -> None:
    with pytest.raises(SystemExit, match="pool, which can't wait") as refused:
        prepare_worker(sender(write_packs(tmp_path), pool))
    assert len(str(refused.value).splitlines()) == 1


def test_green_pools_are_refused_by_class(tmp_path: Path) -> None:
    class TaskPool:
        __module__ = "celery.concurrency.eventlet"

    with pytest.raises(SystemExit, match="eventlet pool"):
        prepare_worker(sender(write_packs(tmp_path), TaskPool))


@pytest.mark.parametrize("pool", ["prefork", "celery.concurrency.thread:TaskPool", "solo"])
def test_other_pools_start_and_say_what_they_know(tmp_path: Path, pool: str, caplog: pytest.LogCaptureFixture) -> None:
    started = sender(write_packs(tmp_path), pool)
    prepare_worker(started)
    with caplog.at_level(logging.INFO, "attune_tasks"):
        report_start(started)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "11 actions are known (setting `packs`)")
    ]


def test_a_worker_without_any_action_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    report_start(sender(tmp_path))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_what_holds_on_linux_only_is_said_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("attune_tasks._celery.worker.platform_notice", lambda: "this is not Linux")
    report_start(sender(write_packs(tmp_path)))
    assert "this is not Linux" in caplog.text


def test_packs_that_are_not_there_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"not started: .*\n.*absent") as refused:
        prepare_worker(sender(tmp_path / "absent"))
    assert refused.value.__context__ is None


def test_a_secret_in_a_variable_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ATTUNE_TASKS_BROKER_URL", "redis://:hunter2@host")
    report_start(sender(write_packs(tmp_path)))
    assert "ATTUNE_TASKS_BROKER_URL holds a secret" in caplog.text
    assert "hunter2" not in caplog.text


def test_the_task_is_acknowledged_early_and_its_failures_are_expected() -> None:
    assert run_action.acks_late is False
    assert [error.__name__ for error in run_action.throws] == ["ActionFailed"]
    assert run_action.ignore_result is False
