"""Threads of ours take no signal that is meant for the main one."""

from __future__ import annotations

import signal
import threading

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
