"""Messages that no client of ours has written, and a connection that is lost: nothing runs that is not claimed."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest

from attune_tasks.ids import new_execution_id, task_id_of
from tests.integration.claims_batch import SETTINGS, Batch
from tests.integration.claims_pack import starts
from tests.integration.workers import worker
from tests.redis_server import RedisServer
from tests.tcp_proxy import TcpProxy
from tests.waiting import wait_until

SECONDS = 40
SOON = {**SETTINGS, "ATTUNE_TASKS_CLAIMS__EXPIRY": "1"}


def message(task_id: Any, file: str, embedded: dict[str, Any] | None = None) -> str:
    """Write a message as kombu has it in Redis."""
    afterwards = {"callbacks": None, "errbacks": None, "chain": None, "chord": None, **(embedded or {})}
    body = json.dumps([["claims.quick", {"file": file}], {}, afterwards]).encode()
    headers = {"lang": "py", "task": "attune_tasks.run_action", "id": task_id, "root_id": task_id, "retries": 0}
    delivery = {"delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": "celery"}, "priority": 0}
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {**headers, "argsrepr": "", "kwargsrepr": "", "timelimit": [None, None]},
            "properties": {
                "correlation_id": "x",
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
                **delivery,
            },
        }
    )


def send(batch: Batch, *messages: str) -> None:
    assert batch.place.redis
    with batch.place.redis.client(batch.place.database) as redis:
        redis.lpush("celery", *messages)


@pytest.mark.parametrize(
    "embedded", [{"attune_claim": None}, {"is_eager": True}, {"id": "another"}, {"attune_claim": {"token": ""}}]
)
def test_what_a_body_says_besides_is_refused_and_nothing_runs(batch: Batch, embedded: dict[str, Any]) -> None:
    with worker(batch.place, "-c", "1", environ=SOON) as running:
        send(batch, message(task_id_of(new_execution_id()), str(batch.file("forged")), embedded))
        batch.send("mine", "quick")
        assert batch.handles["mine"].result(SECONDS).succeeded
        assert "invalid task" in running.log()
        assert starts(batch.file("forged")) == 0


@pytest.mark.parametrize("task_id", [5, "a\ud800b", "", ["x"], None])
def test_a_task_id_that_is_no_text_ends_no_worker(batch: Batch, task_id: Any) -> None:
    with worker(batch.place, "-c", "1", environ=SETTINGS) as running:
        send(batch, message(task_id, str(batch.file("poison"))))
        batch.send("mine", "quick")
        assert batch.handles["mine"].result(SECONDS).succeeded
        assert running.is_running()
        assert starts(batch.file("poison")) == 0


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_what_waits_in_the_pool_when_the_connection_is_lost_runs_once(
    batch: Batch, durable_redis: RedisServer, pool: str
) -> None:
    proxy = TcpProxy(durable_redis.port)
    url = f"redis://127.0.0.1:{proxy.port}/{batch.place.database}"
    environ = {**SETTINGS, "ATTUNE_TASKS_CLAIMS__EXPIRY": "30", "CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}
    try:
        with worker(batch.place, "-P", pool, "-c", "1", environ=environ) as running:
            batch.send("holds", "hold")
            wait_until(lambda: starts(batch.file("holds")), "it runs", SECONDS)
            batch.send("waits", "quick")
            wait_until(lambda: batch.state_of("waits") == "claimed", "the next one is claimed", SECONDS)
            proxy.cut()
            wait_until(lambda: "onnection to broker lost" in running.log(), "the loss is seen", SECONDS)
            proxy.mend()
            wait_until(lambda: "were sent again" in running.log(), "it is given back", SECONDS)
            batch.release(["holds"])
            assert batch.handles["holds"].result(SECONDS).succeeded
            assert batch.handles["waits"].result(SECONDS).succeeded
            batch.send("last", "quick")  # behind whatever came twice
            assert batch.handles["last"].result(SECONDS).succeeded
            assert starts(batch.file("waits")) == 1
    finally:
        proxy.cut()
