"""A real worker is scraped: what ran in its slots, in whatever process, and what only its main process saw."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from attune_tasks import enqueue
from tests.integration.packs import SECRETS
from tests.integration.workers import make_place, worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

VALUE = "never-in-a-label-4711"
_SERVED = re.compile(r"metrics are served at (http://127\.0\.0\.1:\d+)/metrics")

Samples = dict[tuple[str, ...], float]


def scrape(address: str) -> str:
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:  # noqa: S310 - our own worker's
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text: str = answer.read().decode()
        return text


def samples(text: str) -> Samples:
    """Give the samples of a scrape, by name and labels' values in the order of the labels' names."""
    return {
        (
            sample.name.removeprefix("attune_tasks_"),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_scrape_has_what_ran(pool: str, tmp_path: Path, redis_server: RedisServer) -> None:
    place = make_place(tmp_path, redis_server if pool == "threads" else None)
    # In prefork each process runs two tasks: most of what is counted ran in one that is no more.
    arguments = ("-P", pool, "-c", "2", *(("--max-tasks-per-child", "2") if pool == "prefork" else ()))
    environ = {"ATTUNE_TASKS_METRICS__PORT": "0"}
    with worker(place, *arguments, environ=environ) as running:
        client = place.client()
        handles = [enqueue("work.add", {"a": number}, app=client) for number in range(6)]
        handles.append(enqueue("work.tell", {"fail": True}, app=client))
        for handle in handles:
            handle.result(30)
        client.send_task("attune_tasks.run_action", ["work.nope", {"x": VALUE}]).get(timeout=30, propagate=False)
        served = _SERVED.search(running.log())
        assert served
        address = served[1]
        wait_until(lambda: ended(address) == len(handles) + 1, "all of them are counted")
        # These two the main process ends by itself.
        enqueue("work.tell", {"fail": False}, expires=-1.0, app=client)
        later = enqueue("work.tell", {"fail": False}, countdown=600, app=client)
        wait_until(lambda: running.log().count(f"Task work.tell[{later.task_id}] received"), "the worker has it")
        later.cancel()
        wait_until(lambda: ended(address) == len(handles) + 3, "these are counted, too")
        go = tmp_path / "go"
        held = enqueue("work.wait", {"until": str(go)}, app=client)
        # An idle one may be gone with its process, in prefork; this one is at work until it is let go.
        wait_until(lambda: samples(scrape(address)).get(("launchers", "work", "busy")) == 1, "its launcher is busy")
        go.touch()
        held.result(30)
        wait_until(lambda: ended(address) == len(handles) + 4, "it is counted")
        text = scrape(address)
        found = samples(text)
        assert found["executions_total", "work.add", "succeeded"] == 6
        assert found["executions_total", "work.tell", "failed"] == 1
        assert found["executions_total", "(unknown)", "error"] == 1
        assert found["execution_duration_seconds_count", "work.add"] == 6
        assert found["queue_wait_seconds_count", "work.add"] == 6
        assert 0 < found["execution_duration_seconds_sum", "work.add"] < 60
        assert found["secret_reads_total", "read", "file"] == 2
        assert found["masked_total", "work.tell", "stdout"] == 2
        assert found["masked_total", "work.tell", "error"] >= 2
        assert ("launchers", "work", "busy") not in found
        # In prefork the last process may have been replaced, and its launcher with it.
        assert pool == "prefork" or found["launchers", "work", "idle"] >= 1
        assert found["executions_total", "work.tell", "cancelled"] == 2
        assert found["lost_figures_total",] == 0
        for value in (*SECRETS.values(), VALUE):
            assert value not in text
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address, timeout=10)  # noqa: S310 - our own worker's


def ended(address: str) -> float:
    found = samples(scrape(address))
    return sum(value for (name, *_), value in found.items() if name == "executions_total")
