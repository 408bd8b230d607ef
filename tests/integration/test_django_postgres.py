"""A Django project on a real PostgreSQL, which takes less than SQLite does, and can crash by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.rows import dict_row

from attune_tasks import enqueue
from tests.celery_worker import CeleryWorker
from tests.integration.django_project import Project, make_project
from tests.postgres_server import PostgresServer, running_postgres
from tests.redis_server import RedisServer
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

SECONDS = 30

ODD = """\
ref: work.odd
runner_type: python
entry_point: odd.py
parameters: {text: {type: string}}
"""
ODD_SCRIPT = """\
import sys
def run(params):
    sys.stdout.buffer.write(b"nul \\0 invalid \\xff euro \\xe2\\x82\\xac\\n")
    return {"nul \\0": "nul again \\0", "text": params["text"]}
"""
IN_TRANSACTION = """\
import json
from django.db import transaction
from attune_tasks.contrib.django import enqueue
from attune_tasks.contrib.django.models import Execution
try:
    with transaction.atomic():
        enqueue("work.add", {"a": 1})
        raise KeyError
except KeyError:
    pass
rolled_back = Execution.objects.count()
with transaction.atomic():
    sent = enqueue("work.add", {"a": 2})
    inside = Execution.objects.filter(action="work.add").count()
print(json.dumps({"rolled_back": rolled_back, "inside": inside, "id": str(sent.execution_id)}))
"""

METRICS = """
import json
from attune_tasks.contrib.django.metrics import recorded
from attune_tasks.contrib.django.models import Execution
made = [("secrets_unavailable", 1), ("secrets_unavailable", 2), ("worker_lost", 3), (None, 4)]
for kind, number in made:
    error = {"type": kind, "message": "no more"} if kind else None
    Execution.objects.create(execution_id=number, task_id="x", action="a.b", status="error", error=error)
(errors,) = (family for family in recorded(lambda ref: True) if family.name == "attune_tasks_recorded_errors")
told = {sample.labels["error"]: sample.value for sample in errors.samples if sample.labels["action"] == "a.b"}
Execution.objects.filter(action="a.b").delete()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, postgres: PostgresServer) -> Project:
    folder = tmp_path_factory.mktemp("django-postgres")
    made = make_project(folder, redis_server, database_settings=postgres.settings)
    for name, text in {"odd.yaml": ODD, "odd.py": ODD_SCRIPT}.items():
        (made.place.packs / "work" / "actions" / name).write_text(text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def running(project: Project) -> Iterator[CeleryWorker]:
    with project.worker("-P", "prefork", "-c", "2") as made:
        yield made


def record(postgres: PostgresServer, execution_id: int) -> dict[str, Any]:
    """Read one record, past Django."""
    with postgres.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SELECT * FROM attune_tasks_execution WHERE execution_id = %s", [execution_id])
        return cursor.fetchone() or {}


def test_what_postgresql_does_not_take_is_recorded_without_it(
    project: Project, running: CeleryWorker, postgres: PostgresServer
) -> None:
    handle = enqueue("work.odd", {"text": "nul \0"}, app=project.client())
    ended = handle.result(SECONDS)
    assert ended.status == "succeeded", ended.error
    wait_until(lambda: record(postgres, handle.execution_id).get("status") == "succeeded", "the record", SECONDS)
    stored = record(postgres, handle.execution_id)
    assert stored["stdout"] == "nul \ufffd invalid \ufffd euro \u20ac\n"
    assert stored["result"]["nul \ufffd"] == "nul again \ufffd"
    assert stored["parameters"] == {"text": "nul \ufffd"}


def test_a_transaction_that_is_rolled_back_sends_nothing_and_one_that_is_not_does(
    project: Project, running: CeleryWorker, postgres: PostgresServer
) -> None:
    project.manage("attune", "prune", "--older-than", "0h")
    told = json.loads(project.python(IN_TRANSACTION))
    assert told["rolled_back"] == 0
    wait_until(lambda: record(postgres, int(told["id"])).get("result") == 4, "the record", SECONDS)
    with postgres.connection() as connection:
        assert connection.execute("SELECT count(*) FROM attune_tasks_execution").fetchone() == (1,)


def test_metrics_group_errors_by_what_stands_within_a_json_value(project: Project) -> None:
    assert json.loads(project.python(METRICS)) == {"secrets_unavailable": 2, "worker_lost": 1, "(other)": 1}


def test_a_server_that_crashes_in_mid_run_neither_fails_nor_delays_it_and_is_told_afterwards(
    project: Project, running: CeleryWorker, postgres: PostgresServer
) -> None:
    go = project.place.folder / "go"
    handle = enqueue("work.wait", {"until": str(go)}, app=project.client())
    wait_until(lambda: record(postgres, handle.execution_id).get("status") == "running", "that it runs", SECONDS)
    postgres.stop()
    try:
        go.touch()
        other = enqueue("work.add", {"a": 1}, app=project.client())
        ended, added = handle.result(SECONDS), other.result(SECONDS)
        assert (ended.status, added.status, added.result) == ("succeeded", "succeeded", 3)
        wait_until(lambda: "can't be written to the database" in running.log(), "that it was tried", SECONDS)
    finally:
        postgres.start()
    for each in (handle, other):
        wait_until(lambda each=each: record(postgres, each.execution_id).get("status") == "succeeded", "it", SECONDS)  # type: ignore[misc]


def test_leak_check_looks_at_the_tables(project: Project, running: CeleryWorker) -> None:
    said = json.loads(project.manage("attune", "leak-check", "work.backwards", "--json", "--file-seconds", "0", code=1))
    (row,) = [row for row in said["rows"] if row["surface"] == "Django records"]
    assert (row["verdict"], row["why"]) == ("LEAK", "")


def test_records_are_deleted_by_age(project: Project, running: CeleryWorker, postgres: PostgresServer) -> None:
    handle = enqueue("work.add", {"a": 1}, app=project.client())
    wait_until(lambda: record(postgres, handle.execution_id).get("status") == "succeeded", "the record", SECONDS)
    project.manage("attune", "prune", "--older-than", "1h")
    assert record(postgres, handle.execution_id)
    project.manage("attune", "prune", "--older-than", "0h")
    assert not record(postgres, handle.execution_id)
