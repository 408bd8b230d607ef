"""A scanner sees all log records, the process's own log gets no more than before, and afterwards all is as it was."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator

import pytest

from attune_tasks._celery.leaks.debug_records import debug_records
from attune_tasks._celery.leaks.scanner_socket import log_address, new_address


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


@pytest.fixture
def scanner() -> Iterator[tuple[str, socket.socket]]:
    address = log_address(new_address())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taking:
        taking.bind(address)
        taking.settimeout(5)
        yield address, taking


def test_records_from_debug_on_are_shown_and_the_own_log_gets_no_more(
    own: Kept, scanner: tuple[str, socket.socket]
) -> None:
    address, taking = scanner
    named = logging.getLogger("some.library")
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.INFO)
    try:
        with debug_records(address):
            named.debug("only the scanner sees %s", "this")
            named.warning("both see this")
            chatty.info("its own level lets this by")
        named.debug("nobody sees this")
        said = [json.loads(taking.recv(1 << 16)) for _ in range(3)]
    finally:
        chatty.setLevel(logging.NOTSET)
    assert [each["text"] for each in said] == [
        "some.library DEBUG only the scanner sees this",
        "some.library WARNING both see this",
        "chatty INFO its own level lets this by",
    ]
    assert {each["pid"] for each in said} == {os.getpid()}
    assert own.texts == ["both see this", "its own level lets this by"]
    assert logging.getLogger().level == logging.WARNING
    assert own.filters == []


def test_a_fork_in_the_midst_of_it_has_it_no_more(own: Kept, scanner: tuple[str, socket.socket]) -> None:
    address, taking = scanner
    with debug_records(address):
        pid = os.fork()
        if not pid:
            logging.getLogger("fork").debug("from the fork")
            os._exit(logging.getLogger().level)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == logging.WARNING
    taking.settimeout(0.2)
    with pytest.raises(TimeoutError):
        taking.recv(1 << 16)
    assert own.texts == []


def test_without_a_scanner_nothing_fails(own: Kept) -> None:
    with debug_records(log_address(new_address())):
        logging.getLogger("lost").warning("it is logged all the same")
    assert own.texts == ["it is logged all the same"]
