"""The files behind the embedded broker: whole or not there, taken once, cleaned up when abandoned."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from attune_tasks._celery.queue_folders import Binding, QueueFolders


@pytest.fixture
def folders(tmp_path: Path) -> QueueFolders:
    return QueueFolders(tmp_path)


def age(folder: Path, queue_name: str) -> None:
    """Make a temporary queue look as if it had been declared long ago."""
    os.utime(folder / "queues" / queue_name / ".temporary", (0, 0))


def test_messages_come_in_order_and_once(folders: QueueFolders) -> None:
    for number in range(5):
        folders.put("q", b"%d" % number)
    assert folders.size("q") == 5
    assert [folders.take("q") for _ in range(6)] == [b"0", b"1", b"2", b"3", b"4", None]


def test_higher_priorities_come_first(folders: QueueFolders) -> None:
    for priority in (0, 9, 5, 100, -3):
        folders.put("q", str(priority).encode(), priority)
    assert [folders.take("q") for _ in range(5)] == [b"9", b"100", b"5", b"0", b"-3"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "celery@host.pidbox", "*", "x~y", "ü 🦊"])
def test_any_text_names_a_queue_and_none_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    inside = outside / "inside"
    inside.mkdir(parents=True)
    folders = QueueFolders(inside)
    folders.put("other", b"kept")
    folders.bind(name, Binding("key", None, name))
    folders.put(name, b"message")
    assert folders.bindings(name) == [Binding("key", None, name)]
    assert folders.take(name) == b"message"
    folders.delete(name)
    assert not folders.exists(name)
    assert folders.bindings(name) == []
    assert folders.take("other") == b"kept"
    assert os.listdir(outside) == ["inside"]  # noqa: PTH208 - hidden ones, too


def test_each_message_goes_to_one_of_many_consumers(folders: QueueFolders) -> None:
    for number in range(200):
        folders.put("q", str(number).encode())
    taken: list[bytes] = []

    def take_all() -> None:
        while (message := folders.take("q")) is not None:
            taken.append(message)

    threads = [threading.Thread(target=take_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(taken, key=int) == [str(number).encode() for number in range(200)]


def test_no_reader_sees_half_a_message(folders: QueueFolders, tmp_path: Path) -> None:
    large = b"x" * 500_000

    def write() -> None:
        for _ in range(30):
            folders.put("q", large)

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while seen < 30:
        message = folders.take("q")
        assert message in (None, large)
        seen += message is not None
        assert writer.is_alive() or folders.size("q") or seen == 30
    writer.join(30)
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_a_message_that_can_not_be_written_leaves_nothing(
    folders: QueueFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        message = "no space left on device"
        raise OSError(message)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        folders.put("q", b"message")
    assert list((tmp_path / "unfinished").iterdir()) == []
    assert folders.size("q") == 0


def test_binding_twice_gives_one_binding_and_unbinding_none(folders: QueueFolders) -> None:
    binding = Binding("key", "^key$", "q")
    folders.bind("exchange", binding)
    folders.bind("exchange", binding)
    assert folders.bindings("exchange") == [binding]
    folders.unbind("exchange", binding)
    folders.unbind("exchange", binding)
    assert folders.bindings("exchange") == []


def test_purging_counts_what_it_removes(folders: QueueFolders) -> None:
    folders.put("q", b"1")
    folders.put("q", b"2")
    assert (folders.purge("q"), folders.purge("q"), folders.purge("absent")) == (2, 0, 0)


def test_a_temporary_queue_goes_when_its_consumer_is_gone(folders: QueueFolders, tmp_path: Path) -> None:
    folders.declare("events", temporary=True)
    folders.bind("exchange", Binding("", None, "events"))
    held = folders.hold("events")
    age(tmp_path, "=events")
    assert len(folders.bindings("exchange")) == 1
    os.close(held)
    assert folders.bindings("exchange") == []
    assert not folders.exists("events")


def test_a_temporary_queue_may_wait_for_its_consumer_and_a_lasting_one_for_ever(
    folders: QueueFolders, tmp_path: Path
) -> None:
    folders.declare("events", temporary=True)
    folders.declare("celery")
    for queue in ("events", "celery"):
        folders.bind("exchange", Binding("", None, queue))
    os.utime(tmp_path / "queues" / "=celery", (0, 0))
    assert len(folders.bindings("exchange")) == 2


def test_all_files_are_private(folders: QueueFolders, tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        folders.declare("t", temporary=True)
        folders.put("q", b"message")
        folders.bind("exchange", Binding("", None, "q"))
        os.close(folders.hold("q"))
    finally:
        os.umask(previous)
    found = [path for path in tmp_path.rglob("*") if path.is_file() or path.parent != tmp_path]
    assert [path for path in found if path.stat().st_mode & 0o077] == []
