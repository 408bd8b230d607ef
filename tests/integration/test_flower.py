"""What a person sees in a real Flower: each execution under its action's ref, names of parameters, and how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attune_tasks import enqueue
from attune_tasks._celery.leaks.flower_pages import FlowerPages
from tests.integration.flower_server import PASSWORD, USER, flower
from tests.integration.packs import SECRETS
from tests.integration.workers import make_place, worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

NAME = "shown@here"
VALUE = 471_147_114_711
ADDED = 12


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_executions_are_shown_by_action_with_names_status_and_duration(
    pool: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    place = make_place(tmp_path, redis_server)
    app = place.client()
    assert app.conf.task_send_sent_event  # whose event may come after the worker's own, and names the task, too
    with (
        worker(place, "-P", pool, "-c", "2", "-n", NAME),
        flower(place, NAME, "flower.log", f"--basic_auth={USER}:{PASSWORD}") as address,
    ):
        pages = FlowerPages(f"http://{USER}:{PASSWORD}@{address}")

        def get(path: str) -> str:
            answer = pages.get(path)
            assert answer.status == 200, path
            return answer.data.decode()

        def told() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(get("/api/tasks"))
            return found

        added = [enqueue("work.add", {"a": VALUE + number}, app=app) for number in range(ADDED)]
        failed = enqueue("work.tell", {"fail": True}, app=app)
        sent = {handle.task_id for handle in (*added, failed)}
        for handle in (*added, failed):
            handle.result(30)
        wait_until(
            lambda: {task for task, each in told().items() if each["succeeded"] or each["failed"]} == sent,
            "Flower has heard of all ends",
        )
        seen = told()
        assert {seen[handle.task_id]["name"] for handle in added} == {"work.add"}
        assert seen[failed.task_id]["name"] == "work.tell"
        one = seen[added[0].task_id]
        assert (one["args"], one["kwargs"]) == ("'work.add'", "{parameters: a=***}")
        assert (one["state"], one["worker"]) == ("SUCCESS", NAME)
        assert "'status': 'succeeded'" in one["result"]
        assert "'duration_ms': " in one["result"]
        assert 0 < one["runtime"] < 30
        other = seen[failed.task_id]
        assert (other["state"], other["exception"]) == (
            "FAILURE",
            "ActionFailed('work.tell failed: RuntimeError: refused: *** ***')",
        )
        shown = [get(f"/task/{handle.task_id}") for handle in (added[0], failed)]
        for page, ref, names in zip(shown, ("work.add", "work.tell"), ("a", "fail"), strict=True):
            assert ref in page
            assert f"parameters: {names}" in page
            assert NAME in page
        everything = "".join([json.dumps(seen), *shown, get("/tasks"), get("/workers"), get(f"/worker/{NAME}")])
        for value in (str(VALUE), *SECRETS.values()):
            assert value not in everything
