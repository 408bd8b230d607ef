"""The caller's side: ids, queues, headers, checks; several apps in one process; eager mode."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, group
from celery.beat import PersistentScheduler, ScheduleEntry
from celery.schedules import schedule

from attune_tasks import ActionFailed, enqueue
from attune_tasks._celery.embedded import embedded_config
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.queue_folders import QueueFolders
from attune_tasks.errors import InvalidParametersError, PackError, SettingsError, UnknownActionError
from attune_tasks.ids import execution_id_of, new_execution_id, task_id_of
from attune_tasks.tasks import NAME
from tests.integration.packs import write_packs, write_secrets


def make_app(folder: Path, ref: str = "work", **settings: Any) -> Celery:
    """Make an app with a broker and packs of its own."""
    app = Celery(ref, set_as_current=False)
    app.conf.update(embedded_config(folder / "embedded"))
    secrets = {"file": {"path": str(write_secrets(folder))}}
    app.conf.attune_tasks = {"packs": [str(write_packs(folder, ref))], "secrets": secrets, **settings}
    return app


@pytest.fixture
def app(tmp_path: Path) -> Celery:
    return make_app(tmp_path)


def sent(folder: Path, queue: str = "celery") -> dict[str, Any]:
    """Take one message off a queue: its headers, properties and decoded body."""
    raw = QueueFolders(folder / "embedded" / "broker").take(queue)
    assert raw, f"nothing is in the queue {queue}"
    message: dict[str, Any] = json.loads(raw)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    return message


def test_a_message_holds_the_call_in_json_and_shows_its_names_only(app: Celery, tmp_path: Path) -> None:
    handle = enqueue("work.add", {"a": 12345}, timeout=5, priority=3, app=app)
    message = sent(tmp_path)
    assert message["body"][:2] == [["work.add", {"a": 12345}], {"timeout": 5}]
    headers = message["headers"]
    assert (headers["id"], headers["task"], headers["shadow"]) == (handle.task_id, NAME, "work.add")
    assert "12345" not in json.dumps(headers) + json.dumps(message["properties"])
    assert headers["kwargsrepr"] == "{parameters: a=***}"
    assert "@" in headers["attune_caller"]
    assert message["properties"]["priority"] == 3


def test_the_caller_can_be_named(app: Celery, tmp_path: Path) -> None:
    enqueue("work.add", {"a": 1}, caller="billing", app=app)
    assert sent(tmp_path)["headers"]["attune_caller"] == "billing"


def test_ids_are_made_given_and_foreign(app: Celery) -> None:
    task = app.tasks[NAME]
    made = enqueue("work.add", {"a": 1}, app=app)
    assert task_id_of(made.execution_id) == made.task_id
    wanted = new_execution_id()
    assert enqueue("work.add", {"a": 1}, execution_id=wanted, app=app).execution_id == wanted
    delayed = task.delay("work.add", {"a": 1})
    assert task_id_of(execution_id_of(delayed.id)) == delayed.id
    assert task.apply_async(("work.add", {"a": 1}), task_id="foreign").id == "foreign"
    with pytest.raises(ValueError, match="execution id"):
        enqueue("work.add", {"a": 1}, execution_id=-1, app=app)


def test_the_queue_is_the_given_one_then_the_routes_then_the_metadatas_then_celerys(tmp_path: Path) -> None:
    app = make_app(tmp_path, routes={"work.ad?": "first", "work.*": "second"})
    for ref, given, queue in (("add", "given", "given"), ("add", None, "first"), ("routed", None, "second")):
        enqueue(f"work.{ref}", {"a": 1} if ref == "add" else {}, queue=given, app=app)
        assert sent(tmp_path, queue)["body"][0][0] == f"work.{ref}"
    other = tmp_path / "other"
    other.mkdir()
    app = make_app(other, routes={"billing.*": "billing"})
    enqueue("work.routed", app=app)
    assert sent(other, "from_metadata")
    enqueue("work.add", {"a": 1}, app=app)
    assert sent(other, "celery")


def test_what_packs_refuse_is_refused_at_enqueue_and_not_sent(app: Celery, tmp_path: Path) -> None:
    with pytest.raises(UnknownActionError, match=r"work\.add"):
        enqueue("work.ad", app=app)
    with pytest.raises(InvalidParametersError, match="a: "):
        app.tasks[NAME].delay("work.add", {"a": "many"})
    with pytest.raises(InvalidParametersError, match="set is no JSON value"):
        enqueue("work.add", {"a": {1}}, app=app)
    with pytest.raises(TypeError, match="no_such"):
        app.tasks[NAME].delay("work.add", no_such=1)
    assert QueueFolders(tmp_path / "embedded" / "broker").size("celery") == 0


def test_a_literal_for_a_secret_parameter_is_refused_with_the_command_and_not_sent(tmp_path: Path) -> None:
    vault = {"url": "https://vault.example.net:8200", "token": "hvs.never-shown"}
    app = make_app(tmp_path, secrets={"provider": "vault", "vault": vault})
    actions = tmp_path / "packs" / "work" / "actions"
    (actions / "pay.yaml").write_text(
        "ref: work.pay\nrunner_type: shell\nentry_point: pay.sh\n"
        "parameters: {token: {secret: true, allow: ['billing/bank#api_key']}}\n"
    )
    (actions / "pay.sh").touch()
    for call in (partial(enqueue, app=app), app.tasks[NAME].delay):
        with pytest.raises(InvalidParametersError) as raised:
            call("work.pay", {"token": "hunter2-literal"})
        assert "`vault kv put -mount=secret billing/bank api_key=-`" in str(raised.value)
        assert not {"hunter2-literal", "hvs.never-shown"} & set(str(raised.value).split())
        assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    assert QueueFolders(tmp_path / "embedded" / "broker").size("celery") == 0


@pytest.mark.parametrize("way", ["delay", "apply_async", "signature", "group", "chain", "send_task", "beat"])
def test_whatever_way_a_message_goes_it_shows_no_argument(app: Celery, tmp_path: Path, way: str) -> None:
    task: Any = app.tasks[NAME]
    arguments = ("work.add", {"a": 12345})
    signature = task.s(*arguments)
    app.conf.beat_schedule = {"x": {"task": NAME, "schedule": 1.0, "args": arguments}}
    ways: dict[str, Callable[[], Any]] = {
        "delay": lambda: task.delay(*arguments),
        "apply_async": lambda: task.apply_async(arguments, argsrepr="12345", kwargsrepr="12345"),
        "signature": lambda: app.signature(NAME, arguments).apply_async(),
        "group": lambda: group([signature], app=app).apply_async(),
        "chain": lambda: chain(signature, task.si("work.routed"), app=app).apply_async(),
        "send_task": lambda: app.send_task(NAME, arguments),
        "beat": lambda: PersistentScheduler(app, schedule_filename=str(tmp_path / "schedule")).apply_async(
            ScheduleEntry(name="x", task=NAME, args=arguments, schedule=schedule(1.0), app=app), advance=False
        ),
    }
    ways[way]()
    headers = sent(tmp_path)["headers"]
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("'work.add'", "{parameters: a=***}")
    assert "12345" not in json.dumps(headers)


def test_a_retry_shows_no_argument(app: Celery, tmp_path: Path) -> None:
    task = app.tasks[NAME]
    task.push_request(
        id="7", args=("work.add", {"a": 12345}), kwargs={}, called_directly=False, delivery_info={}, is_eager=False
    )
    try:
        task.retry(throw=False, countdown=0)
    finally:
        task.pop_request()
    assert "12345" not in json.dumps(sent(tmp_path)["headers"])


def test_where_no_packs_are_known_every_ref_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = Celery("bare", set_as_current=False)
    app.conf.update(embedded_config(tmp_path / "embedded"))
    enqueue("elsewhere.action", {"x": 1}, app=app)
    assert sent(tmp_path)["body"][0] == ["elsewhere.action", {"x": 1}]


def test_broken_packs_and_settings_are_told_at_enqueue(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    (tmp_path / "packs" / "work" / "actions" / "add.yaml").write_text("ref: 1", encoding="utf-8")
    with pytest.raises(PackError):
        enqueue("work.routed", app=app)
    other = Celery("typo", set_as_current=False)
    other.conf.attune_tasks = {"timeouts": 1}
    with pytest.raises(SettingsError, match="timeouts"):
        enqueue("work.routed", app=other)


def test_two_apps_in_one_process_have_their_own_settings_and_packs(tmp_path: Path) -> None:
    apps = {}
    for ref in ("first", "second"):
        (tmp_path / ref).mkdir()
        apps[ref] = make_app(tmp_path / ref, ref, routes={"*": f"queue-of-{ref}"}, timeout=10 if ref == "first" else 20)
    for ref, app in apps.items():
        enqueue(f"{ref}.add", {"a": 1}, app=app)
        assert sent(tmp_path / ref, f"queue-of-{ref}")["body"][0][0] == f"{ref}.add"
        other = "second" if ref == "first" else "first"
        with pytest.raises(UnknownActionError):
            enqueue(f"{other}.add", {"a": 1}, app=app)
    assert state_of(apps["first"]).loaded.settings.timeout == 10
    assert state_of(apps["second"]).loaded.settings.timeout == 20
    assert state_of(apps["first"]).executor is not state_of(apps["second"]).executor


def test_what_an_app_has_is_loaded_once_by_many_threads(app: Celery) -> None:
    found: list[tuple[int, int]] = []

    def look() -> None:
        state = state_of(app)
        found.append((id(state), id(state.executor)))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_eager_mode_runs_the_action_in_this_process(app: Celery) -> None:
    app.conf.task_always_eager = True
    handle = enqueue("work.add", {"a": 40}, app=app)
    assert (handle.status(), handle.result(timeout=1).result) == ("succeeded", 42)
    assert handle.result().execution_id == handle.execution_id
    failed = enqueue("work.tell_shell", {"fail": True}, app=app)
    assert (failed.status(), failed.result().exit_code) == ("failed", 1)
    assert "***" in failed.result().stdout
    app.conf.task_eager_propagates = True
    with pytest.raises(ActionFailed):
        enqueue("work.tell_shell", {"fail": True}, app=app)


def test_the_task_can_be_called_like_a_function(app: Celery) -> None:
    assert app.tasks[NAME]("work.add", {"a": 1})["result"] == 3


def test_a_process_without_an_app_uses_the_ready_made_one(tmp_path: Path) -> None:
    code = (
        "from attune_tasks import enqueue\n"
        "handle = enqueue('any.action', {'x': 1})\n"
        "print(handle.task_id, handle.status())\n"
    )
    environ = {"XDG_STATE_HOME": str(tmp_path / "state"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    task_id, status = done.stdout.split()
    assert status == "pending"
    raw = QueueFolders(tmp_path / "state" / "attune-tasks" / "embedded" / "broker").take("celery")
    assert task_id.encode() in (raw or b"")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ["localhost", "embedded_broker", "EmbeddedBackend"]),
        ({"ATTUNE_TASKS_BROKER_URL": "memory://b"}, ["memory://b", "None", "EmbeddedBackend"]),
        ({"CELERY_BROKER_URL": "memory://c"}, ["memory://c", "None", "EmbeddedBackend"]),
        ({"ATTUNE_TASKS_RESULT_BACKEND": "cache+memory://"}, ["localhost", "embedded_broker", "cache+memory://"]),
        ({"CELERY_RESULT_BACKEND": "cache+memory://"}, ["localhost", "embedded_broker", "cache+memory://"]),
        ({"ATTUNE_TASKS_BROKER_URL": "redis://r"}, ["redis://r", "None", "socket_keepalive"]),
    ],
)
def test_the_ready_made_app_takes_the_broker_that_is_set(
    tmp_path: Path, environ: dict[str, str], expected: list[str]
) -> None:
    code = (
        "from attune_tasks.app import app\n"
        "conf = app.conf\n"
        "print(conf.broker_url, conf.broker_transport, conf.result_backend, conf.broker_transport_options)\n"
        "assert conf.accept_content == ['json'] and not conf.result_extended and conf.worker_prefetch_multiplier == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"XDG_STATE_HOME": str(tmp_path / "state"), "PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    for text in expected:
        assert text in done.stdout
