"""A member of a chord was thought to be lost, and ends after all: what follows the chord has run, and runs no more."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from celery import chord, states

from tests.integration.claims_batch import SETTINGS, Batch
from tests.integration.claims_pack import starts
from tests.integration.workers import worker
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


def test_the_late_result_of_a_chords_member_does_not_fire_the_chord_again(batch: Batch) -> None:
    pool = ("-P", "threads", "-c", "2")
    with worker(batch.place, *pool, "-n", "one@here", environ=SETTINGS, log="one.log") as one:
        body: Any = batch.follower("body").on_error(batch.follower("body-error"))
        chorded: Any = chord([batch.signature("late", "hold"), batch.signature("other", "quick")], body).apply_async()
        for name, result in zip(("late", "other"), chorded.parent.results, strict=True):
            batch.add(name, result)
        body_id = chorded.id
        del chorded, result  # which would talk to the server when they go
        assert batch.handles["other"].result(60).succeeded
        wait_until(lambda: starts(batch.file("late")), "it runs", 60)
        os.kill(one.process.pid, signal.SIGSTOP)
        try:
            with worker(batch.place, *pool, "-n", "two@here", environ=SETTINGS, log="two.log"):
                error = batch.handles["late"].result(60).error
                assert error
                assert error["type"] == "worker_lost"
                wait_until(lambda: starts(batch.file("body-error")) == 1, "the chord has failed", 60)
                batch.release(["late"])
                os.kill(one.process.pid, signal.SIGCONT)
                batch.check(followed={"body": 0, "body-error": 1}, replaced=["late"])
                # Whatever the late result has sent would have been received in front of this one.
                batch.send("afterwards", "quick")
                batch.check(followed={"body": 0, "body-error": 1}, replaced=["late"])
                assert batch.client.backend.get_state(body_id) == states.FAILURE
        finally:
            os.kill(one.process.pid, signal.SIGCONT)
