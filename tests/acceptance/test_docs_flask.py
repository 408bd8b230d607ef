"""What the pages on Flask, on logs and metrics, and on schedules say, done with a real worker on a real Redis."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from attune_tasks._celery.metrics.counters import Counters
from attune_tasks.settings import load_settings
from tests.acceptance.command import Command
from tests.celery_worker import CeleryWorker, celery_worker_command, running_worker
from tests.docs_blocks import ROOT, block
from tests.redis_server import RedisServer
from tests.waiting import wait_until

# The worker of the page's application, its log as the page on logs has it.
WORKER = "import logs_config\nfrom shop import celery\n"
CLIENT = """
import json, sys, time
import shop
client = shop.app.test_client()
with client.session_transaction() as session:
    session["user"] = "ada"
sent = client.post("/attune/executions", json=json.loads(sys.argv[1]))
deadline = time.monotonic() + 30
pages, place = [], ""
while True:
    page = client.get(f"{sent.location}/output?after={place}").json
    pages.append(page)
    place = page["after"]
    if page["ended"] or time.monotonic() > deadline:
        break
    time.sleep(0.05)
own = client.post("/greet/Ada").json["execution_id"]
while client.get(f"/attune/executions/{own}").json["finished_at"] is None and time.monotonic() < deadline:
    time.sleep(0.05)
told = [client.get(sent.location).json, client.get(f"/attune/executions/{own}").json]
print(json.dumps({"sent": sent.json, "status": sent.status_code, "pages": pages, "told": told}))
"""
SCHEDULES = """
import json, sys
sys.path.insert(0, ".")
import reports
print(json.dumps([[e["task"], e["args"], e["kwargs"], e["options"]] for e in reports.app.conf.beat_schedule.values()]))
"""


@dataclass(frozen=True)
class Shop:
    """The page's application in a folder that ``attune-tasks init`` wrote, and its worker."""

    command: Command
    worker: CeleryWorker
    environment: dict[str, str]

    def run(self, *arguments: str) -> str:
        """Run a program of this Python; give what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.command.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Shop]:
    folder, private = tmp_path_factory.mktemp("flask"), tmp_path_factory.mktemp("private")
    command = Command(folder, private)
    assert command.run("init", "shop").returncode == 0
    command.folder /= "shop"
    broker, backend = (redis_server.url(redis_server.new_database()) for _ in range(2))
    text = block("flask-app").replace("redis://localhost:6379/0", broker).replace("redis://localhost:6379/1", backend)
    (command.folder / "shop.py").write_text(text, encoding="utf-8")
    (command.folder / "logs_config.py").write_text(block("logs-config"), encoding="utf-8")
    (command.folder / "site_worker.py").write_text(WORKER, encoding="utf-8")
    environment = command.environment | {"PYTHONPATH": f"{ROOT}{os.pathsep}{command.folder}"}
    words = celery_worker_command("site_worker", "-P", "threads", "-c", "2")
    environ = environment | {"ATTUNE_TASKS_METRICS__PORT": "0"}
    made = CeleryWorker(words, command.folder, environ, private / "worker.log")
    with running_worker(made, "threads, broker: redis"):
        yield Shop(command, made, environment)


@pytest.fixture(scope="module")
def seen(shop: Shop) -> Any:
    return json.loads(shop.run("-c", CLIENT, block("flask-request")))


def test_the_endpoints_answer_as_the_page_says(shop: Shop, seen: Any) -> None:
    assert seen["status"] == 202
    assert seen["sent"].keys() == json.loads(block("flask-answer")).keys()
    said = json.loads(block("flask-output"))
    last = seen["pages"][-1]
    assert last.keys() == said.keys()
    assert (last["status"], last["ended"]) == ("succeeded", True)
    assert [event for page in seen["pages"] for event in page["events"]] == said["events"]
    first, own = seen["told"]
    assert (first["status"], first["result"]["greeting"]) == ("succeeded", "Hello, Ada!")
    assert own["status"] == "succeeded"
    assert shop.worker.log().count("of hello.greet starts, claimed_by=ada") == 2


def test_the_commands_print_what_the_page_says(shop: Shop) -> None:
    first, listed, second = block("flask-commands").splitlines()
    assert listed.split()[:2] == ["hello.greet", "python"]
    assert first.startswith("$ flask ")
    assert second.startswith("$ flask ")
    assert "hello.greet" in shop.run("-m", *first[2:].split())
    assert json.loads(shop.run("-m", *second[2:].split()))["result"]["greeting"] == "Hello, Ada!"


def test_each_line_of_the_log_about_an_execution_names_it(shop: Shop, seen: Any) -> None:
    execution_id, task_id = seen["sent"]["execution_id"], seen["sent"]["task_id"]
    fields = f"[{execution_id} hello.greet {task_id}]"
    lines = [line for line in shop.worker.log().splitlines() if f"execution {execution_id} of hello.greet" in line]
    assert len(lines) == 1
    assert f"INFO attune_tasks.worker {fields}" in lines[0]
    audited = [line for line in shop.worker.log().splitlines() if "attune_tasks.audit" in line and execution_id in line]
    assert len(audited) == 1
    assert fields in audited[0]
    assert "celery.worker.strategy [- - -] Task hello.greet" in shop.worker.log()


def test_the_worker_serves_each_metric_of_the_page_and_no_other(shop: Shop, seen: Any) -> None:
    assert seen["status"] == 202
    served = re.search(r"metrics are served at (http://\S+)", shop.worker.log())
    assert served

    def scrape() -> str:
        with urllib.request.urlopen(served[1], timeout=10) as answer:  # noqa: S310 - our own worker's
            text: str = answer.read().decode()
            return text

    wait_until(lambda: 'executions_total{action="hello.greet",status="succeeded"}' in scrape(), "it is counted")
    text, in_django = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").split("\n### In Django\n")
    assert "attune_tasks_recorded_executions" in in_django
    told = dict(re.findall(r"^\| `(attune_tasks_\w+)` \| (.*?) \|", text, re.MULTILINE))
    counters = Counters(lambda _: True, list)
    kinds = {family.name: family.type for family in counters.registry.collect()}
    assert set(told) == {f"{name}_total" if kind == "counter" else name for name, kind in kinds.items()}
    for name, labels in told.items():
        samples = re.findall(rf"^{name}(?:_bucket)?\{{(.*)\}} ", scrape(), re.MULTILINE)
        for sample in samples:
            assert set(re.findall(r"(\w+)=", sample)) - {"le"} == set(re.findall(r"`(\w+)`", labels)), name


def test_the_settings_for_metrics_are_those_that_prometheus_is_told(tmp_path: Path) -> None:
    (tmp_path / "attune-tasks.toml").write_text(block("metrics-toml"), encoding="utf-8")
    metrics = load_settings(environ={}, directory=tmp_path).settings.metrics
    (job,) = yaml.safe_load(block("metrics-prometheus"))["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"{metrics.address}:{metrics.port}"]}]


def test_the_schedule_of_the_page_can_be_run(shop: Shop) -> None:
    (shop.command.folder / "reports.py").write_text(block("scheduling-app"), encoding="utf-8")
    first, second = json.loads(shop.run("-c", SCHEDULES))
    task = "attune_tasks.run_action"
    assert first == [task, ["hello.greet", {"name": "Ada"}], {"timeout": 60}, {"expires": 3600}]
    once = {"idempotency_key": "greet-often", "idempotency_seconds": 240}
    assert second == [task, ["hello.greet", {"name": "all"}], {}, once]
    (shop.command.folder / "reports.py").write_text(block("scheduling-app").replace("name=", "nam="), encoding="utf-8")
    with pytest.raises(AssertionError, match="InvalidParametersError"):
        shop.run("-c", SCHEDULES)
