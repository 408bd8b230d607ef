"""A step of Celery's fails once, after the final state was written: that state is stored, and what follows is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, states

from attune_tasks.tasks import run_action
from tests.append_only import states_written
from tests.integration.claims_batch import SETTINGS, SUCCEEDED, Batch
from tests.integration.workers import worker
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

FAILED = ("failed", "nonzero_exit")

# As a server does it that is killed and started again: what was sent just then is lost, and the next try succeeds.
_FAULTY = """\
import os

from celery.app.amqp import AMQP
from celery.backends.base import Backend
from celery.backends.redis import RedisBackend
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError

from attune_tasks.app import app


def faulty(holder, name, error):
    step = getattr(holder, name)

    def fail_once(*arguments, **options):
        try:
            os.unlink(name)
        except FileNotFoundError:
            return step(*arguments, **options)
        raise error("it is gone")

    setattr(holder, name, fail_once)


faulty(RedisBackend, "get", ConnectionError)
faulty(RedisBackend, "on_chord_part_return", ConnectionError)
faulty(Backend, "_fail_chain", ConnectionError)
faulty(Backend, "_call_task_errbacks", OperationalError)
faulty(AMQP, "_retry_publish", OperationalError)
"""

Fault = Callable[[str], Any]


def lineage(result: Any) -> list[str]:
    """Give the task ids of a result and those before it; results themselves talk to the server when they go."""
    ids = []
    while result is not None:
        ids.append(result.id)
        result = result.parent
    return ids


@pytest.fixture(params=["prefork", "threads"])
def fault(request: pytest.FixtureRequest, batch: Batch) -> Iterator[Fault]:
    """Run a worker; give a way to have a step fail once while something is done, and until it has failed."""
    folder = batch.place.folder
    (folder / "mine.py").write_text(_FAULTY, encoding="utf-8")

    @contextmanager
    def fail(name: str) -> Iterator[None]:
        fuse = Path(folder / name)
        fuse.touch()
        yield
        wait_until(lambda: not fuse.exists(), f"{name} has failed", 40)

    with worker(batch.place, "-P", request.param, "-c", "2", app="mine", environ=SETTINGS):
        yield fail


def test_a_step_after_the_final_state_fails(batch: Batch, fault: Fault) -> None:
    def links(name: str) -> dict[str, Any]:
        return {"link": batch.follower(f"{name}-ok"), "link_error": batch.follower(f"{name}-error")}

    def signature(name: str, action: str) -> Any:
        return batch.client.tasks[run_action.name].si(f"claims.{action}", {"file": str(batch.file(name))})

    with fault("get"):
        batch.send("stored", "quick", **links("stored"))
    with fault("get"):
        batch.send("failing", "failing", **links("failing"))
    with fault("_retry_publish"):
        batch.send("called", "quick", **links("called"))
    with fault("_call_task_errbacks"):
        batch.send("errback", "failing", **links("errback"))
    with fault("_fail_chain"):
        last: Any = chain(signature("chained", "failing"), signature("second", "quick"), signature("third", "quick"))
        chained = lineage(last.apply_async(link_error=batch.follower("chained-error")))
    with fault("on_chord_part_return"):
        body: Any = signature("body", "quick").on_error(batch.follower("body-error"))
        (chorded, *_) = lineage(chord([signature("member", "quick"), signature("other", "quick")], body).apply_async())
    with fault("on_chord_part_return"):
        body = signature("no-body", "quick").on_error(batch.follower("no-body-error"))
        (unchorded, *_) = lineage(chord([signature("bad", "failing"), signature("good", "quick")], body).apply_async())
    followed = {"stored": SUCCEEDED, "failing": FAILED, "called": SUCCEEDED, "errback": FAILED}
    counts = {f"{name}-ok": int(end == SUCCEEDED) for name, end in followed.items()}
    counts |= {f"{name}-error": int(end == FAILED) for name, end in followed.items()}
    counts |= {"chained-error": 1, "second": 0, "third": 0, "body": 1, "body-error": 0, "no-body": 0}
    batch.check({name: end for name, end in followed.items() if end == FAILED}, {**counts, "no-body-error": 1})
    ends = dict.fromkeys([*chained, unchorded], states.FAILURE) | {chorded: states.SUCCESS}
    assert {task_id: batch.client.backend.get_state(task_id) for task_id in ends} == ends
    assert batch.place.redis
    for task_id in chained:
        assert set(states_written(batch.place.redis.folder, task_id)) <= {states.STARTED, states.FAILURE}
