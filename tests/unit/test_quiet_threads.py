"""Threads of ours take no signal that is meant for the main one."""

from __future__ import annotations

import signal
import threading

import pytest

from attune_tasks import quiet_threads
from attune_tasks.quiet_threads import start_quiet_thread


def test_such_a_thread_blocks_what_an_ordinary_one_does_not_and_leaves_its_starter_as_it_was() -> None:
    masks: dict[str, set[int]] = {}

    def note() -> None:
        masks[threading.current_thread().name] = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    start_quiet_thread(note, "quiet").join(10)
    ordinary = threading.Thread(target=note, name="ordinary")
    ordinary.start()
    ordinary.join(10)
    assert signal.SIGTERM in masks["quiet"]
    assert signal.SIGTERM not in masks["ordinary"]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_one_that_never_begins_is_an_error_and_no_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory is out: the thread ends before it says that it has begun."""
    monkeypatch.setattr(quiet_threads, "_START_SECONDS", 0.1)
    monkeypatch.setattr(threading.Thread, "_bootstrap_inner", lambda _: None)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(RuntimeError, match=r"did not begin within 0\.1 s"):
        start_quiet_thread(lambda: None, "never")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
