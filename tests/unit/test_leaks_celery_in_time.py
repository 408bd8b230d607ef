"""What hangs is not waited for; what is raised in the thread is raised to who asks."""

from __future__ import annotations

import threading
import time
from typing import Never

import pytest

from attune_tasks._celery.leaks.in_time import in_time, say


def fail() -> Never:
    msg = "redis://user:password@host"
    raise ConnectionError(msg)


def test_a_value_and_an_error_come_through() -> None:
    assert in_time(lambda: 5, 10.0) == 5
    with pytest.raises(ConnectionError) as caught:
        in_time(fail, 10.0)
    assert say(caught.value) == "ConnectionError"  # and not its text, which may quote an address


def test_what_hangs_is_not_waited_for() -> None:
    goes_on = threading.Event()
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        in_time(goes_on.wait, 0.05)
    assert time.monotonic() - started < 10
    goes_on.set()
