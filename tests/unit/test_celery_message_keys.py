"""The file of keys: what is taken, and what is refused without quoting it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from celery import Celery

from attune_tasks import enqueue
from attune_tasks._celery.message_keys import read_message_keys
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.worker import prepare_worker
from attune_tasks.errors import SettingsError
from tests.integration.signed import KEY, write_key
from tests.unit.test_celery_worker import sender

OTHER = "x" * 32


def app_with(path: Path) -> Celery:
    app = Celery("keys", set_as_current=False)
    app.conf.attune_tasks = {"message_key_file": str(path)}
    return app


def test_each_line_is_a_key_in_order_and_comments_and_empty_lines_are_none(tmp_path: Path) -> None:
    path = write_key(tmp_path / "keys", "# of April", KEY, "", f"  {OTHER}\r", "# end")
    assert read_message_keys(path) == (KEY.encode(), OTHER.encode())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_file_open_to_others_is_refused_with_the_command_to_type(tmp_path: Path, mode: int) -> None:
    path = write_key(tmp_path / "keys")
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"message_key_file: .*chmod 600 {path}"):
        read_message_keys(path)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_key(tmp_path / "keys")
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with pytest.raises(SettingsError, match="belongs to another user"):
        read_message_keys(path)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((KEY, "short-key-of-31-bytes-QQQQQQQQQQ"[:31]), r"fewer than 32 bytes in line 2: .*openssl rand -hex 32"),
        (("# nothing",), "holds no key: .*openssl rand -hex 32"),
        (("",), "holds no key"),
    ],
)
def test_a_file_without_a_good_key_is_refused_and_not_quoted(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        read_message_keys(write_key(tmp_path / "keys", *lines))
    assert "QQ" not in str(refused.value)
    assert KEY not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be opened: No such file"):
        read_message_keys(tmp_path / "absent")
    with pytest.raises(SettingsError, match=r"not a regular file|can't be opened"):
        read_message_keys(tmp_path)


def test_the_file_is_read_once_per_process(tmp_path: Path) -> None:
    app = app_with(write_key(tmp_path / "keys"))
    assert state_of(app).message_keys == (KEY.encode(),)
    (tmp_path / "keys").unlink()
    assert state_of(app).message_keys == (KEY.encode(),)


def test_a_relative_path_starts_at_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_key(tmp_path / "keys")
    (tmp_path / "attune-tasks.toml").write_text('message_key_file = "keys"\n', encoding="utf-8")
    monkeypatch.setenv("ATTUNE_TASKS_CONFIG", str(tmp_path / "attune-tasks.toml"))
    assert state_of(Celery("keys", set_as_current=False)).message_keys == (KEY.encode(),)


def test_who_enqueues_is_told_of_a_bad_file_and_nothing_is_sent(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="message_key_file"):
        enqueue("work.add", {"a": 1}, app=app_with(tmp_path / "absent"))


def test_a_worker_with_a_bad_file_is_not_started(tmp_path: Path) -> None:
    starting = sender(tmp_path)
    starting.app.conf.attune_tasks["message_key_file"] = str(tmp_path / "absent")
    with pytest.raises(SystemExit, match=r"the worker is not started: message_key_file: .*No such file"):
        prepare_worker(starting)
