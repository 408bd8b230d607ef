"""Celery's pool loses a task: its processes are free, and none gets it. The execution has its one end all the same."""

from __future__ import annotations

import pytest

from tests.integration.claims_batch import SETTINGS, Batch
from tests.integration.workers import worker

pytestmark = pytest.mark.timeout(120)

# The pool keeps the job, and writes it to no process.
APP = """\
from celery.signals import worker_ready
from attune_tasks.app import app

@worker_ready.connect
def lose_the_first(sender, **_):
    pool = sender.pool._pool
    put = pool._quick_put
    def lose(job):
        pool._quick_put = put
    pool._quick_put = lose
"""


def test_a_task_that_the_pool_has_lost_is_run_once(batch: Batch) -> None:
    (batch.place.folder / "losing.py").write_text(APP, encoding="utf-8")
    arguments = ("-P", "prefork", "-c", "2")
    with worker(batch.place, *arguments, app="losing", environ=SETTINGS) as running:
        batch.send("lost", "quick")
        batch.check()
        assert "1 messages were sent again: for 4 s the pool had a free slot" in running.log()
        batch.send("next", "quick")
        batch.check()
