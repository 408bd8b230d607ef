"""A scanner sees all log records, the process's own log gets no more than before, and afterwards all is as it was."""

from __future__ import annotations

import json
import logging
import os
import queue
import socket
import threading
from collections.abc import Iterator

import pytest

from attune_tasks._celery.leaks.debug_records import debug_records
from attune_tasks._celery.leaks.scanner_socket import RecordsServer, log_address, new_address

MAIN = os.getppid()
"""A main process that has this one for its scanner."""


class Kept(logging.Handler):
    """What a process's own log gets."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a text."""
        self.texts.append(record.getMessage())


@pytest.fixture
def own() -> Iterator[Kept]:
    root, kept = logging.getLogger(), Kept()
    level = root.level
    root.setLevel(logging.WARNING)
    root.addHandler(kept)
    yield kept
    root.removeHandler(kept)
    root.setLevel(level)


Scanner = tuple[str, "queue.SimpleQueue[bytes]"]


@pytest.fixture
def scanner() -> Iterator[Scanner]:
    """Give the address of a scanner, and what it is shown."""
    address, shown = new_address(), queue.SimpleQueue[bytes]()
    with RecordsServer(address, MAIN, shown.put) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield address, shown
        server.shutdown()
        thread.join()


def test_records_from_debug_on_are_shown_and_the_own_log_gets_no_more(own: Kept, scanner: Scanner) -> None:
    address, shown = scanner
    named = logging.getLogger("some.library")
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.INFO)
    try:
        with debug_records(address, MAIN):
            named.debug("only the scanner sees %s", "this")
            named.warning("both see this")
            chatty.info("its own level lets this by", extra={"field": "of a formatter's"})
        named.debug("nobody sees this")
        said = [json.loads(shown.get(timeout=5)) for _ in range(3)]
    finally:
        chatty.setLevel(logging.NOTSET)
    assert [each["text"] for each in said] == [
        "some.library DEBUG only the scanner sees this",
        "some.library WARNING both see this",
        "chatty INFO its own level lets this by {'field': \"of a formatter's\"}",
    ]
    assert {each["pid"] for each in said} == {os.getpid()}
    assert own.texts == ["both see this", "its own level lets this by"]
    assert logging.getLogger().level == logging.WARNING
    assert own.filters == []


def test_a_fork_in_the_midst_of_it_has_it_no_more(own: Kept, scanner: Scanner) -> None:
    address, shown = scanner
    with debug_records(address, MAIN):
        pid = os.fork()
        if not pid:
            logging.getLogger("fork").debug("from the fork")
            os._exit(logging.getLogger().level)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == logging.WARNING
        logging.getLogger("parent").debug("from the parent")
    assert json.loads(shown.get(timeout=5))["text"] == "parent DEBUG from the parent"
    assert shown.empty()
    assert own.texts == []


def test_a_handler_of_another_logger_gets_no_more_either(own: Kept, scanner: Scanner) -> None:
    address, shown = scanner
    kept, named = Kept(), logging.getLogger("with.a.handler")
    named.addHandler(kept)
    try:
        with debug_records(address, MAIN):
            named.debug("only the scanner sees this")
            named.warning("all see this")
        assert kept.filters == []
    finally:
        named.removeHandler(kept)
    assert kept.texts == own.texts == ["all see this"]
    assert json.loads(shown.get(timeout=5))["text"] == "with.a.handler DEBUG only the scanner sees this"


def test_what_stays_below_another_logger_is_shown_too_and_each_log_gets_what_it_had(
    own: Kept, scanner: Scanner
) -> None:
    address, shown = scanner
    kept, apart = Kept(), logging.getLogger("apart")
    apart.addHandler(kept)
    apart.propagate = False  # as Celery has it of celery.task
    apart.setLevel(logging.INFO)
    try:
        with debug_records(address, MAIN):
            logging.getLogger("apart.below").debug("the scanner alone sees this")
            logging.getLogger("apart.below").info("its own log, too")
        assert (apart.level, apart.handlers, kept.filters) == (logging.INFO, [kept], [])
    finally:
        apart.removeHandler(kept)
        apart.propagate = True
        apart.setLevel(logging.NOTSET)
    texts = [json.loads(shown.get(timeout=5))["text"] for _ in range(2)]
    assert texts == ["apart.below DEBUG the scanner alone sees this", "apart.below INFO its own log, too"]
    assert shown.empty()
    assert (kept.texts, own.texts) == (["its own log, too"], [])


def test_a_loggers_own_level_is_lowered_meanwhile_for_the_scanner_alone(own: Kept, scanner: Scanner) -> None:
    address, shown = scanner
    audit = logging.getLogger("attune_tasks.audit")
    level = audit.level
    audit.setLevel(logging.ERROR)
    try:
        with debug_records(address, MAIN):
            audit.debug("the scanner alone sees this")
            audit.warning("and this")
            audit.error("both see this")
        assert audit.level == logging.ERROR
    finally:
        audit.setLevel(level)
    said = [json.loads(shown.get(timeout=5))["text"].rpartition("attune_tasks.audit ")[2] for _ in range(3)]
    assert [text.split(" {")[0] for text in said] == [
        "DEBUG the scanner alone sees this",
        "WARNING and this",
        "ERROR both see this",
    ]
    assert own.texts == ["both see this"]


def test_a_stranger_who_has_taken_the_name_is_shown_nothing(own: Kept) -> None:
    address = new_address()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.bind(log_address(address))
        stranger.listen()
        stranger.settimeout(5)
        with debug_records(address, os.getpid()):  # whose scanner would be a child of this process
            logging.getLogger("some").warning("for the scanner alone")
        connection, _ = stranger.accept()
        with connection:
            assert connection.recv(1 << 16) == b""
    assert own.texts == ["for the scanner alone"]


def test_who_is_not_of_the_worker_is_not_listened_to(own: Kept) -> None:
    address, shown = new_address(), queue.SimpleQueue[bytes]()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        with RecordsServer(address, -1, shown.put) as server:
            stranger.connect(log_address(address))
            stranger.send(b"{}")
            server.timeout = 5
            server.handle_request()
        stranger.settimeout(5)
        with pytest.raises(ConnectionResetError):
            stranger.recv(1)
    assert shown.empty()
    assert own.texts == []


def test_without_a_scanner_nothing_fails(own: Kept) -> None:
    with debug_records(new_address(), MAIN):
        logging.getLogger("lost").warning("it is logged all the same")
    assert own.texts == ["it is logged all the same"]
