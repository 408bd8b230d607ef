"""Which messages are signed when they are published, and by whose settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from celery import Celery, chain
from celery.canvas import Signature

from attune_tasks import enqueue
from attune_tasks._celery import publishing
from attune_tasks._celery.signing import SIGNATURE_HEADER
from attune_tasks.tasks import NAME
from tests.integration.signed import write_key
from tests.unit.test_celery_sending import make_app, sent


@pytest.fixture
def app(tmp_path: Path) -> Celery:
    return make_app(tmp_path, message_key_file=str(write_key(tmp_path / "keys")))


@pytest.fixture
def current(app: Celery, monkeypatch: pytest.MonkeyPatch) -> Celery:
    """Make the app the current one, as an application's only app is."""
    monkeypatch.setattr(publishing, "get_current_app", lambda: app)
    return app


def signature(folder: Path) -> object:
    return sent(folder)["headers"].get(SIGNATURE_HEADER)


def test_what_enqueue_sends_is_signed_and_without_a_key_it_is_not(app: Celery, tmp_path: Path) -> None:
    enqueue("work.add", {"a": 1}, app=app)
    assert str(signature(tmp_path)).startswith("1:")
    (tmp_path / "plain").mkdir()
    enqueue("work.add", {"a": 1}, app=make_app(tmp_path / "plain"))
    assert signature(tmp_path / "plain") is None


def test_send_task_of_the_current_app_is_signed_and_names_a_caller(current: Celery, tmp_path: Path) -> None:
    current.send_task(NAME, args=["work.add", {"a": 1}])
    headers = sent(tmp_path)["headers"]
    assert headers[SIGNATURE_HEADER].startswith("1:")
    assert "@" in headers["attune_caller"]


def test_a_signature_that_is_given_is_replaced(app: Celery, tmp_path: Path) -> None:
    app.tasks[NAME].apply_async(("work.add", {"a": 1}), headers={SIGNATURE_HEADER: "1:2:stale"})
    assert signature(tmp_path) != "1:2:stale"


@pytest.mark.parametrize("own", ["chain", "link", "error link"])
def test_a_task_of_ones_own_is_signed_where_an_action_hangs_on_it(app: Celery, tmp_path: Path, own: str) -> None:
    double = Signature("own.double", args=(1,), app=app)
    action = app.tasks[NAME].si("work.add", {"a": 1})
    if own == "chain":
        chain(double, action, app=app).apply_async()
    elif own == "link":
        double.apply_async(link=action)
    else:
        double.apply_async(link_error=action)
    assert str(signature(tmp_path)).startswith("1:")


def test_other_tasks_are_left_alone(current: Celery, tmp_path: Path) -> None:
    current.send_task("own.double", args=[NAME, {"task": NAME}])
    headers = sent(tmp_path)["headers"]
    assert SIGNATURE_HEADER not in headers
    assert "attune_caller" not in headers


def test_a_workers_main_process_signs_nothing_and_says_so(
    app: Celery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publishing, "_worker_main", {os.getpid()})
    handle = enqueue("work.add", {"a": 1}, app=app)
    assert signature(tmp_path) is None
    assert f"a message of {handle.task_id} goes out unsigned" in caplog.text
    # A beat within the worker is a process of its own, forked from it.
    monkeypatch.setattr(publishing, "_worker_main", {os.getppid()})
    enqueue("work.add", {"a": 1}, app=app)
    assert signature(tmp_path) is not None


def test_what_no_worker_could_run_goes_out_as_it_is(current: Celery, tmp_path: Path) -> None:
    current.send_task(NAME, kwargs={"unknown": 1})
    assert signature(tmp_path) is None


def test_messages_of_protocol_1_are_left_alone(app: Celery, tmp_path: Path) -> None:
    app.conf.task_protocol = 1
    enqueue("work.add", {"a": 1}, app=app)
    assert SIGNATURE_HEADER not in str(sent(tmp_path))
