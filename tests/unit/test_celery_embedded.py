"""Where the embedded default lives, its transport within one process, and its results."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Exchange, Queue

from attune_tasks._celery.embedded import default_folder, embedded_config, private_folder
from attune_tasks.errors import SettingsError


@pytest.fixture
def app(tmp_path: Path) -> Celery:
    made = Celery("embedded", set_as_current=False)
    made.conf.update(embedded_config(tmp_path / "embedded"))
    return made


def test_the_folder_is_below_the_state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_folder() == tmp_path / "state" / "attune-tasks" / "embedded"
    assert default_folder().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("state", [None, "", "relative"])
def test_without_a_state_home_the_folder_is_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if state is not None:
        monkeypatch.setenv("XDG_STATE_HOME", state)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".local" / "state" / "attune-tasks" / "embedded"


def test_without_a_usable_home_the_folder_is_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null/nowhere")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert default_folder() == tmp_path / f"attune-tasks-{os.geteuid()}"


def test_a_user_of_whom_nothing_is_known_has_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert default_folder() == tmp_path / f"attune-tasks-{os.geteuid()}"


def test_a_folder_that_others_can_open_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o750)
    with pytest.raises(SettingsError, match="chmod 700"):
        private_folder(tmp_path / "open")


def test_a_link_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="not a real folder"):
        private_folder(tmp_path / "link")
    with pytest.raises(SettingsError, match="can't be made"):
        private_folder(tmp_path / "file")


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(SettingsError, match="belongs to another user"):
        private_folder(tmp_path / "mine")


def test_a_message_goes_through_the_transport(app: Celery) -> None:
    with app.connection_for_write() as connection:
        queue = connection.SimpleQueue("letters")
        queue.put({"n": 1})
        queue.put({"n": 2}, priority=9)
        assert queue.qsize() == 2
        message = queue.get(timeout=5)
        assert message.payload == {"n": 2}
        message.reject()
        assert queue.get(timeout=5).payload == {"n": 1}
        assert queue.clear() == 0
        queue.close()


def test_a_message_that_was_not_acknowledged_comes_back(app: Celery) -> None:
    with app.connection_for_write() as connection:
        queue = connection.SimpleQueue("letters")
        queue.put("kept")
        queue.get(timeout=5)
        queue.close()
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("letters")
        message = queue.get(timeout=5)
        assert message.payload == "kept"
        message.ack()
        queue.close()


def test_a_wait_ends_after_its_timeout_and_sooner_where_the_transport_says_so(app: Celery) -> None:
    with app.connection_for_read() as connection, connection.channel() as channel:
        consumer = app.amqp.TaskConsumer(channel)
        consumer.consume()
        transport: Any = connection.transport
        transport.longest_wait = 0.05
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=30)
        assert time.monotonic() - started < 10


def test_results_are_stored_whole_and_forgotten(app: Celery, tmp_path: Path) -> None:
    backend: Any = app.backend
    backend.store_result("../../outside", {"a": 1}, "SUCCESS")
    assert app.AsyncResult("../../outside").result == {"a": 1}
    assert [path.parent.name for path in tmp_path.rglob("*outside*")] == ["results"]
    app.AsyncResult("../../outside").forget()
    app.AsyncResult("../../outside").forget()
    assert list((tmp_path / "embedded" / "results").iterdir()) == []


def test_a_result_that_can_not_be_written_leaves_the_old_one(
    app: Celery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend: Any = app.backend
    backend.set(b"key", "old")

    def fail(*_: object) -> None:
        message = "no space left on device"
        raise OSError(message)

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", fail)
        with pytest.raises(OSError, match="no space"):
            backend.set(b"key", b"new")
    assert backend.get(b"key") == b"old"
    assert len(list((tmp_path / "embedded" / "results").iterdir())) == 1


def test_expired_results_are_deleted(app: Celery, tmp_path: Path) -> None:
    backend: Any = app.backend
    for task_id in ("old", "new"):
        backend.store_result(task_id, None, "SUCCESS")
    os.utime(tmp_path / "embedded" / "results" / "celery-task-meta-old", (0, 0))
    backend.cleanup()
    assert [path.name for path in (tmp_path / "embedded" / "results").iterdir()] == ["celery-task-meta-new"]


def test_a_broadcast_reaches_whoever_listens_and_leaves_nothing_for_those_who_left(app: Celery, tmp_path: Path) -> None:
    heard: list[object] = []
    exchange = Exchange("news", type="fanout")
    queue = Queue("listener", exchange, auto_delete=True)
    folder = tmp_path / "embedded" / "broker" / "queues" / "=listener"
    with app.connection_for_read() as connection, connection.channel() as channel:
        consumer = connection.Consumer([queue], channel=channel, callbacks=[lambda body, _: heard.append(body)])
        consumer.consume(no_ack=True)
        os.utime(folder / ".temporary", (0, 0))  # as if it had been there for long
        with app.connection_for_write() as other:
            other.Producer().publish({"n": 1}, exchange=exchange, declare=[exchange])
        connection.drain_events(timeout=5)
        assert heard == [{"n": 1}]
        consumer.cancel()
    with app.connection_for_write() as other:
        other.Producer().publish({"n": 2}, exchange=exchange, declare=[exchange])
    assert not folder.exists()


@pytest.mark.parametrize("junk", [b"", b"5", b"{}", b"\xff", b'{"body": "", "properties": null}'])
def test_a_broken_message_is_set_aside_and_the_next_one_is_delivered(tmp_path: Path, junk: bytes) -> None:
    folder = tmp_path / "embedded"
    with Celery("broken", config_source=embedded_config(folder)).connection_for_write() as connection:
        queue = connection.SimpleQueue("q")
        queue.put({"n": 1})
        waiting = next((folder / "broker" / "queues" / "=q").glob("[0-9]*"))
        waiting.with_name("0-0-first").write_bytes(junk)
        message = queue.get(timeout=5)
        assert message.payload == {"n": 1}
        message.ack()
        queue.close()
    assert [path.read_bytes() for path in (folder / "broker" / "broken").iterdir()] == [junk]


def test_names_longer_than_a_file_can_have_serve(tmp_path: Path) -> None:
    app = Celery("long", config_source=embedded_config(tmp_path / "embedded"))
    for name in ("x" * 300, "x/../y" * 60, "ж" * 200):
        app.backend.store_result(name, {"name": name}, "SUCCESS")
        assert app.AsyncResult(name).get(timeout=5) == {"name": name}
        with app.connection_for_write() as connection:
            queue = connection.SimpleQueue(name)
            queue.put(1)
            assert queue.get(timeout=5).payload == 1
            queue.close()
    assert app.AsyncResult("x" * 299).state == "PENDING"
