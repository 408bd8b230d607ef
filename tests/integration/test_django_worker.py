"""A Django project with a real worker and a real Redis: records, live output, and a database that goes away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from html import escape
from pathlib import Path

import pytest

from attune_tasks import enqueue
from tests.celery_worker import CeleryWorker
from tests.integration.django_project import Project, make_project
from tests.integration.packs import SECRETS
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SECONDS = 30

VIEWS = """
import json, time
from django.contrib.auth.models import Permission, User
from django.test import Client
user = User.objects.create(username="ada")
user.user_permissions.add(Permission.objects.get(codename="run:work"))  # made by migrate
client = Client()
client.force_login(user)
sent = client.post("/actions/executions/", {"action": "work.tell"}, content_type="application/json").json()
text, after, ended = "", "", False
deadline = time.monotonic() + 30
while not ended and time.monotonic() < deadline:
    page = client.get(sent["output"], {"after": after}).json()
    after, ended = page["after"], page["ended"]
    text += "".join(event["text"] for event in page["events"] if event["type"] == "output")
    time.sleep(0.05)
print(json.dumps({"text": text, "status": client.get(sent["status"]).json(), "user": user.pk}))
"""

# What the admin shows of an execution, and of all, as a browser gets it; with `again`, it has it run again first.
ADMIN = """
import json
from django.contrib.auth.models import User
from django.test import Client
from attune_tasks.contrib.django.models import Execution
client = Client()
root, _ = User.objects.get_or_create(username="root", is_superuser=True, is_staff=True)
client.force_login(root)
base = "/admin/attune_tasks/execution/"
pk = Execution.objects.get(execution_id={execution_id}).pk
if {again}:
    sent = client.post(f"{{base}}{{pk}}/again/")
    assert sent.status_code == 302, sent.status_code
    pk = int(sent.headers["Location"].removesuffix("/change/").rpartition("/")[2])
action = Execution.objects.get(pk=pk).action
paths = [f"{{pk}}/change/", f"{{pk}}/live/", "", "packs/", f"run/{{action}}/?of={{pk}}"]
answers = [client.get(base + path) for path in paths]
answers.append(client.post(base + "packs/", {{"pack": "work"}}))
assert [answer.status_code for answer in answers] == [200] * len(answers)
pages = [answer.content.decode() for answer in answers]
print(json.dumps([str(Execution.objects.get(pk=pk).execution_id), pages]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Project:
    admin = ("django.contrib.admin", "django.contrib.messages")
    return make_project(tmp_path_factory.mktemp("django"), redis_server, None, *admin)


@pytest.fixture(scope="module")
def running(project: Project) -> Iterator[CeleryWorker]:
    with project.worker("-P", "prefork", "-c", "2") as made:
        yield made


def test_the_worker_has_djangos_settings_and_the_task_without_more_ado(running: CeleryWorker) -> None:
    log = running.log()
    assert "attune_tasks.run_action" in log
    assert "actions are known" in log


def test_views_enqueue_and_give_live_output_and_the_record_has_no_secret(
    project: Project, running: CeleryWorker
) -> None:
    told = json.loads(project.python(VIEWS))
    assert told["status"]["status"] == "succeeded"
    assert "out *** ***\n" in told["text"]
    assert "err *** ***\n" in told["text"]
    execution_id = int(told["status"]["execution_id"])
    wait_until(lambda: project.record(execution_id).get("status") == "succeeded", "the record", SECONDS)
    record = project.record(execution_id)
    assert "out *** ***" in record["stdout"]
    assert record["result"]["key"] == "***"
    assert {each["reference"] for each in record["receipts"]} == {"work/api#api_key", "work/api#password"}
    assert (record["caller"], record["user_id"]) == ("ada", told["user"])
    assert record["started_at"] < record["finished_at"]
    stored = project.database.read_bytes() + running.log().encode()
    assert b"out *** ***" in stored
    assert not [value for value in SECRETS.values() if value.encode() in stored]


def admin_of(project: Project, execution_id: int, *, again: bool = False) -> tuple[int, str]:
    """Give the id of the execution that is shown, and the pages."""
    number, pages = json.loads(project.python(ADMIN.format(execution_id=execution_id, again=again)))
    return int(number), "\n".join(pages)


def test_what_runs_again_gets_its_secrets_anew(project: Project, running: CeleryWorker) -> None:
    def came_to(execution_id: int) -> str:
        wait_until(lambda: project.record(execution_id).get("status") == "succeeded", "its end", SECONDS)
        result: str = project.record(execution_id)["result"]
        return result

    before = project.place.secrets.read_text(encoding="utf-8")
    assert before.count(SECRETS["api_key"]) == 1
    changed = "Zq7-another-api-key-Xw3"
    first = enqueue("work.digest", app=project.client()).execution_id
    assert came_to(first) == sha256(SECRETS["api_key"].encode()).hexdigest()
    project.place.secrets.write_text(before.replace(SECRETS["api_key"], changed), encoding="utf-8")
    try:
        second, pages = admin_of(project, first, again=True)
        assert second != first
        assert came_to(second) == sha256(changed.encode()).hexdigest()
        assert changed not in pages
    finally:
        project.place.secrets.write_text(before, encoding="utf-8")


def test_no_page_of_the_admin_has_a_secret_and_one_that_is_planted_is_seen(
    project: Project, running: CeleryWorker
) -> None:
    app = project.client()
    told, planted = enqueue("work.tell", app=app), enqueue("work.backwards", app=app)
    for each in (told, planted):
        wait_until(lambda each=each: project.record(each.execution_id).get("status") == "succeeded", "it", SECONDS)  # type: ignore[misc]
    _, pages = admin_of(project, told.execution_id)
    assert "out *** ***" in pages
    assert "work/api#api_key" in pages
    assert "found</strong>" in pages
    shown = (value for secret in SECRETS.values() for value in (secret, json.dumps(secret)[1:-1], escape(secret)))
    assert not [value for value in shown if value in pages]
    assert SECRETS["api_key"][::-1] in admin_of(project, planted.execution_id)[1]


def test_manage_py_enqueues_by_the_projects_app_and_ends_as_the_action_does(
    project: Project, running: CeleryWorker
) -> None:
    said = json.loads(project.manage("attune", "enqueue", "work.add", "-p", "a=1", "--wait", "--json"))
    assert said["result"] == 3
    wait_until(lambda: project.record(int(said["execution_id"])).get("result") == 3, "the record", SECONDS)
    project.manage("attune", "enqueue", "work.tell", "-p", "fail=true", "--wait", code=1)


def test_a_failure_and_a_cancelled_one_are_recorded_as_such(project: Project, running: CeleryWorker) -> None:
    handle = enqueue("work.wait", {"until": str(project.place.folder / "never")}, app=project.client())
    wait_until(lambda: project.record(handle.execution_id).get("status") == "running", "that it runs", SECONDS)
    assert handle.cancel().outcome == "cancelling"
    wait_until(lambda: project.record(handle.execution_id).get("status") == "cancelled", "its end", SECONDS)


def test_a_database_that_goes_away_in_mid_run_neither_fails_nor_delays_it(
    project: Project, running: CeleryWorker
) -> None:
    """Gone is its folder: nothing can be opened there, nor written to what was open."""
    folder, aside, go = project.database.parent, project.place.folder / "aside", project.place.folder / "go"
    handle = enqueue("work.wait", {"until": str(go)}, app=project.client())
    wait_until(lambda: project.record(handle.execution_id).get("status") == "running", "that it runs", SECONDS)
    folder.rename(aside)
    try:
        go.touch()
        other = enqueue("work.add", {"a": 1}, app=project.client())
        ended, added = handle.result(SECONDS), other.result(SECONDS)
        assert (ended.status, added.status, added.result) == ("succeeded", "succeeded", 3)
        wait_until(lambda: "can't be written to the database" in running.log(), "that it was tried", SECONDS)
    finally:
        aside.rename(folder)
    for each in (handle, other):
        wait_until(lambda each=each: project.record(each.execution_id).get("status") == "succeeded", "it", SECONDS)  # type: ignore[misc]


def test_a_database_that_is_locked_delays_no_execution(project: Project, running: CeleryWorker) -> None:
    app = project.client()
    with closing(sqlite3.connect(project.database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        handles = [enqueue("work.add", {"a": number}, app=app) for number in range(5)]
        results = [handle.result(SECONDS) for handle in handles]
        connection.execute("ROLLBACK")
    assert [result.result for result in results] == [2, 3, 4, 5, 6]
    for handle in handles:
        wait_until(lambda handle=handle: project.record(handle.execution_id).get("exit_code") == 0, "it", SECONDS)  # type: ignore[misc]


def test_an_end_that_only_the_main_process_sees_is_taken_from_the_backend(
    project: Project, running: CeleryWorker
) -> None:
    """Its pool process is killed."""
    import os
    import signal

    handle = enqueue("work.wait", {"until": str(project.place.folder / "never")}, app=project.client())
    wait_until(lambda: project.record(handle.execution_id).get("status") == "running", "that it runs", SECONDS)
    state = handle._async_result.info
    os.kill(state["pid"], signal.SIGKILL)
    assert handle.result(SECONDS).status == "error"
    project.python(
        f"""
        from attune_tasks.contrib.django.keeping import refresh
        from attune_tasks.contrib.django.models import Execution
        refresh(Execution.objects.get(execution_id={handle.execution_id}))
        """
    )
    record = project.record(handle.execution_id)
    assert (record["status"], record["error"]["type"]) == ("error", "worker_lost")


@pytest.mark.parametrize(("ref", "verdict"), [("work.backwards", "LEAK"), ("work.tell", "clean")])
def test_leak_check_looks_at_the_tables(project: Project, running: CeleryWorker, ref: str, verdict: str) -> None:
    code = 1 if verdict == "LEAK" else 0
    said = json.loads(project.manage("attune", "leak-check", ref, "--json", "--file-seconds", "0", code=code))
    (row,) = [row for row in said["rows"] if row["surface"] == "Django records"]
    assert row["verdict"] == verdict, row
    assert (verdict == "LEAK") == any("column stdout" in hit["where"] for hit in row["hits"])


@pytest.mark.timeout(600)
def test_the_self_test_catches_what_stands_in_the_tables(project: Project) -> None:
    words = ("leak-check", "--self-test", "--json", "--file-seconds", "4")
    caught = json.loads(project.manage("attune", *words, seconds=550))["controls"]
    missed = [each for each in caught if each["verdict"] == "clean"]
    assert missed == []
    (of_records,) = [each for each in caught if each["surface"] == "Django records"]
    assert of_records["verdict"] == "LEAK"
    assert of_records["where"].startswith("table attune_tasks_execution, column ")


def test_django_celery_results_works_beside(tmp_path: Path, redis_server: RedisServer) -> None:
    project = make_project(tmp_path, redis_server, "django-db", "django_celery_results")
    with project.worker("-P", "threads", "-c", "2"):
        said = json.loads(project.manage("attune", "enqueue", "work.add", "-p", "a=1", "--wait", "--json"))
        assert said["result"] == 3
        wait_until(lambda: project.record(int(said["execution_id"])).get("status") == "succeeded", "it", SECONDS)
        words = ("leak-check", "work.backwards", "--json", "--file-seconds", "0")
        checked = json.loads(project.manage("attune", *words, code=1))
    with closing(sqlite3.connect(project.database)) as connection:
        states = connection.execute("SELECT status FROM django_celery_results_taskresult").fetchall()
    assert states == [("SUCCESS",)] * 2
    (row,) = [row for row in checked["rows"] if row["surface"] == "Django records"]
    places = [hit["where"] for hit in row["hits"]]
    assert any(place.startswith("table django_celery_results_taskresult, column result, row ") for place in places), row
