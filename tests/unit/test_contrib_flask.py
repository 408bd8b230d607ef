"""The Flask extension: where its settings come from, its commands, and what its endpoints refuse."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, shared_task
from flask import Flask, abort, current_app, session
from flask.testing import FlaskClient

from attune_tasks._celery.embedded import embedded_config
from attune_tasks._celery.per_app import state_of
from attune_tasks.contrib.flask import AttuneTasks
from attune_tasks.errors import SettingsError
from attune_tasks.ids import new_execution_id, task_id_of
from attune_tasks.testing import captured, fake_result
from tests.integration.packs import write_packs, write_secrets

VALUE = "never-shown-hunter2"
PAY = "parameters: {token: {secret: true, allow: ['billing/bank#api_key']}, month: {type: integer}}\n"


@pytest.fixture(autouse=True)
def kept_default_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no application of a test be the default of the next ones."""
    monkeypatch.setattr(Celery, "set_default", lambda _: None)
    monkeypatch.setattr(Celery, "set_current", lambda _: None)


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Flask]:
    packs = write_packs(tmp_path)
    actions = packs / "work" / "actions"
    (actions / "pay.yaml").write_text(f"ref: work.pay\nrunner_type: shell\nentry_point: pay.sh\n{PAY}")
    (actions / "pay.sh").touch()

    def make(**options: Any) -> Flask:
        app = Flask("shop")
        app.secret_key = "of-this-test"
        secrets = {"file": {"path": str(write_secrets(tmp_path))}}
        app.config["ATTUNE_TASKS"] = {"packs": [str(packs)], "secrets": secrets}
        app.config["CELERY"] = embedded_config(tmp_path / "embedded")
        AttuneTasks(app, **options)
        return app

    return make


@pytest.fixture
def client(site: Callable[..., Flask]) -> FlaskClient:
    client = site(login=lambda: session.get("user")).test_client()
    with client.session_transaction() as opened:
        opened["user"] = "ada"
    return client


def code_of(answer: Any) -> tuple[int, str]:
    assert answer.mimetype == "application/json", answer.data
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json["error"]) == {"type", "message", "problems"}
    return answer.status_code, answer.json["error"]["type"]


def json_of(answer: Any) -> Any:
    assert answer.status_code == 200
    return answer.json


def test_settings_come_from_the_applications_configuration(site: Callable[..., Flask], tmp_path: Path) -> None:
    celery = site().extensions["celery"]
    assert celery.main == "shop"
    assert celery.conf.broker_url == embedded_config(tmp_path / "embedded")["broker_url"]
    assert "work.add" in state_of(celery).registry


def test_an_app_that_flasks_documentation_makes_is_taken(tmp_path: Path) -> None:
    app = Flask("shop")
    app.config["ATTUNE_TASKS"] = {"packs": [str(write_packs(tmp_path))]}
    own = app.extensions["celery"] = Celery("own", set_as_current=False)
    AttuneTasks().init_app(app)
    assert app.extensions["celery"] is own
    assert "work.add" in state_of(own).registry
    assert "attune_tasks.run_action" in own.tasks


def test_without_celerys_settings_broker_and_backend_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = Flask("shop")
    app.config["ATTUNE_TASKS"] = {"broker_url": "redis://broker.example:6379/0"}
    AttuneTasks(app)
    conf = app.extensions["celery"].conf
    assert conf.broker_url == "redis://broker.example:6379/0"
    assert "EmbeddedBackend" in str(conf.result_backend)


def test_the_applications_own_tasks_run_in_its_context(site: Callable[..., Flask]) -> None:
    app = site()

    @shared_task(name="tests.name_of_the_application")
    def name_of_the_application() -> str:
        return str(current_app.name)

    task = app.extensions["celery"].tasks["tests.name_of_the_application"]
    assert task.apply().get() == "shop"


@pytest.mark.parametrize("name", ["ATTUNE_TASKS", "CELERY"])
def test_what_is_no_mapping_is_refused_by_its_name(name: str) -> None:
    app = Flask("shop")
    app.config[name] = [VALUE]
    with pytest.raises(SettingsError, match=name) as raised:
        AttuneTasks(app)
    assert VALUE not in str(raised.value)


def test_two_applications_share_nothing(tmp_path: Path) -> None:
    attune = AttuneTasks()
    apps = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
        app = Flask(name)
        app.config["ATTUNE_TASKS"] = {"packs": [str(write_packs(tmp_path / name, f"pack_{name}"))]}
        app.config["CELERY"] = embedded_config(tmp_path / name)
        attune.init_app(app)
        apps.append(app)
    with captured() as calls:
        for app in apps:
            with app.app_context():
                attune.enqueue(f"pack_{app.name}.add", {"a": 1})
    assert [call.action_ref for call in calls] == ["pack_one.add", "pack_two.add"]


def test_an_application_that_was_not_set_up_is_told_so(site: Callable[..., Flask]) -> None:
    site()
    with Flask("other").app_context(), pytest.raises(RuntimeError, match=r"init_app\(app\)"):
        AttuneTasks().enqueue("work.add")


def test_the_commands_run_under_the_applications_app(site: Callable[..., Flask]) -> None:
    runner = site().test_cli_runner()
    listed = runner.invoke(args=["attune", "packs", "list"])
    assert listed.exit_code == 0, listed.output
    assert "work.add" in listed.output
    ran = runner.invoke(args=["attune", "run", "work.add", "-p", "a=3", "--json"])
    assert json.loads(ran.stdout)["result"] == 5
    with captured() as calls:
        sent = runner.invoke(args=["attune", "enqueue", "work.add", "-p", "a=3"])
    assert sent.exit_code == 0
    assert [call.action_ref for call in calls] == ["work.add"]
    assert "leak-check" in runner.invoke(args=["attune", "--help"]).output
    assert "attune" in runner.invoke(args=["--help"]).output


def test_the_commands_end_with_the_command_lines_codes(site: Callable[..., Flask]) -> None:
    runner = site().test_cli_runner()
    unknown = runner.invoke(args=["attune", "run", "work.ad"])
    assert (unknown.exit_code, "Traceback" in unknown.output) == (2, False)
    other = runner.invoke(args=["attune", "-A", "other:app", "packs", "list"])
    assert other.exit_code == 2
    assert "leave -A out" in other.output


def test_without_a_login_function_nothing_is_served(site: Callable[..., Flask]) -> None:
    app = site()
    assert [rule.rule for rule in app.url_map.iter_rules()] == ["/static/<path:filename>"]
    assert app.test_client().post("/attune/executions", json={"action": "work.add"}).status_code == 404


def test_who_has_not_logged_in_gets_nothing(site: Callable[..., Flask]) -> None:
    client = site(login=lambda: None).test_client()
    for path in ("/executions", "/executions/7", "/executions/7/output", "/", "/elsewhere"):
        assert code_of(client.get(f"/attune{path}")) == (401, "not_signed_in")
    with captured() as calls:
        assert code_of(client.post("/attune/executions", json={"action": "work.add"})) == (401, "not_signed_in")
    assert calls == []


def test_an_execution_is_enqueued_in_the_users_name(client: FlaskClient) -> None:
    asked = {"action": "work.add", "parameters": {"a": 1}, "timeout": 5}
    with captured() as calls:
        answer = client.post("/attune/executions", json=asked)
    (call,) = calls
    assert answer.status_code == 202
    place = f"/attune/executions/{call.execution_id}"
    ids = {"execution_id": str(call.execution_id), "task_id": call.task_id}
    assert answer.json == {**ids, "status": place, "output": f"{place}/output"}
    assert answer.headers["Location"] == place
    assert (call.caller, call.parameters, call.timeout) == ("ada", {"a": 1}, 5)


def test_a_view_of_the_applications_own_enqueues_in_the_users_name(site: Callable[..., Flask]) -> None:
    app = site(login=lambda: "ada")
    attune = AttuneTasks(login=lambda: "ada")

    @app.post("/own")
    def own() -> str:
        return attune.enqueue("work.add", {"a": 1}).task_id

    with captured() as calls:
        app.test_client().post("/own")
        with app.app_context():
            attune.enqueue("work.add", {"a": 1})
            attune.enqueue("work.add", {"a": 1}, caller="nightly")
    assert calls[0].caller == "ada"
    assert "@" in calls[1].caller
    assert calls[2].caller == "nightly"


def test_what_another_site_could_have_a_browser_send_is_refused(client: FlaskClient) -> None:
    text = json.dumps({"action": "work.add", "parameters": {"a": 1}})
    with captured() as calls:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            answer = client.post("/attune/executions", data=text, content_type=kind)
            assert code_of(answer) == (415, "not_json")
        for site in ("cross-site", "same-site"):
            answer = client.post("/attune/executions", json={}, headers={"Sec-Fetch-Site": site})
            assert code_of(answer) == (403, "other_site")
        assert calls == []
        own = client.post("/attune/executions", json=json.loads(text), headers={"Sec-Fetch-Site": "same-origin"})
    assert own.status_code == 202
    assert "Access-Control-Allow-Origin" not in own.headers


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"action": "work.ad"}, 404, "unknown_action"),
        ({"action": "work.add", "parameters": {"a": {"x": VALUE}}}, 400, "invalid_parameters"),
        ({"action": "work.pay", "parameters": {"token": VALUE}}, 400, "invalid_parameters"),
        ({"action": "work.pay", "parameters": {VALUE: 1}}, 400, "invalid_parameters"),
        ({"action": "work.add", "parameters": {"a": 1}, "timeout": VALUE}, 400, "invalid_parameters"),
        ({"action": "work.add", "parameters": VALUE}, 400, "not_a_call"),
        ({"action": {"x": VALUE}}, 400, "not_a_call"),
        ({"action": "work.add", "env": {"x": VALUE}}, 400, "not_a_call"),
        ({"action": "work.add", "parameters": {"a": 1}, "idempotency_key": ""}, 400, "not_a_call"),
        ([VALUE], 400, "not_a_call"),
    ],
)
def test_what_is_wrong_is_said_with_a_code_and_without_a_value(
    client: FlaskClient, asked: Any, status: int, code: str
) -> None:
    answer = client.post("/attune/executions", json=asked)
    assert code_of(answer) == (status, code), answer.json
    # A parameter's name that the action does not have is told back; values never are.
    assert VALUE not in answer.text or VALUE in str(list((asked.get("parameters") or {}).keys()))


@pytest.mark.parametrize("text", ["", "{", '{"action": ', "[" * 100_000, "9" * 5000, '"\\ud800"'])
def test_what_is_no_json_object_is_refused(client: FlaskClient, text: str) -> None:
    answer = client.post("/attune/executions", data=text, content_type="application/json")
    assert code_of(answer) == (400, "not_a_call" if text == '"\\ud800"' else "not_json")


def test_a_body_is_bounded(client: FlaskClient) -> None:
    answer = client.post("/attune/executions", json={"action": "work.add", "parameters": {"a": "x" * (1 << 20)}})
    assert code_of(answer) == (413, "too_large")
    text = io.BytesIO(b'{"action": "work.add", "parameters": {"a": "' + b"x" * (1 << 20) + b'"}}')
    chunked = {
        "wsgi.input": text,
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    answer = client.post("/attune/executions", content_type="application/json", environ_overrides=chunked)
    assert code_of(answer) == (400, "not_json")  # Werkzeug cuts it off, so that it is no JSON
    assert text.tell() == 1 << 20


def test_what_is_not_there_is_answered_in_json(client: FlaskClient) -> None:
    assert code_of(client.get("/attune/elsewhere")) == (404, "not_found")
    assert code_of(client.delete("/attune/executions/7", json={})) == (404, "not_found")
    assert code_of(client.get(f"/attune/executions/{'9' * 5000}")) == (404, "not_found")
    assert code_of(client.get("/attune/executions/7/output?after=x")) == (400, "bad_request")


def test_the_application_says_who_may_do_what(site: Callable[..., Flask]) -> None:
    asked: list[tuple[str, str, str]] = []

    def allow(user: str, what: str, subject: str) -> bool:
        asked.append((user, what, subject))
        return subject == "work.add"

    client = site(login=lambda: "ada", allow=allow).test_client()
    with captured():
        assert client.post("/attune/executions", json={"action": "work.add", "parameters": {"a": 1}}).status_code == 202
        refused = client.post("/attune/executions", json={"action": "work.pay"})
    assert code_of(refused) == (403, "not_allowed")
    execution_id = new_execution_id()
    for path in (f"{execution_id}", f"{task_id_of(execution_id)}/output"):
        assert code_of(client.get(f"/attune/executions/{path}")) == (403, "not_allowed")
    assert asked == [
        ("ada", "enqueue", "work.add"),
        ("ada", "enqueue", "work.pay"),
        ("ada", "view", str(execution_id)),
        ("ada", "view", str(execution_id)),
    ]


def test_a_login_function_may_abort_and_is_held_to_its_form(
    site: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    assert code_of(site(login=lambda: abort(403)).test_client().get("/attune/executions/7")) == (403, "forbidden")
    wrong: Any = lambda: True  # noqa: E731
    with caplog.at_level(logging.ERROR):
        answer = site(login=wrong).test_client().get("/attune/executions/7")
    assert code_of(answer) == (500, "internal_error")
    assert "TypeError at bound.py" in caplog.text


def test_an_outage_is_said_so_without_the_brokers_address(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from kombu.exceptions import OperationalError

    def fail(*_: Any, **__: Any) -> None:
        msg = f"redis://:{VALUE}@broker can't be reached"
        raise OperationalError(msg)

    monkeypatch.setattr("attune_tasks.enqueue", fail, raising=False)
    answer = client.post("/attune/executions", json={"action": "work.add", "parameters": {"a": 1}})
    assert code_of(answer) == (503, "broker_unavailable")
    assert VALUE not in answer.text + caplog.text


def test_an_execution_that_waits_has_no_result(client: FlaskClient) -> None:
    execution_id = new_execution_id()
    for given in (str(execution_id), task_id_of(execution_id)):
        answer = client.get(f"/attune/executions/{given}")
        told = {"execution_id": str(execution_id), "task_id": task_id_of(execution_id), "status": "pending"}
        shown = json_of(answer)
        assert {name: value for name, value in shown.items() if value is not None} == told
        assert {"action", "result", "error", "exit_code", "finished_at"} <= shown.keys()
    output = json_of(client.get(f"/attune/executions/{execution_id}/output"))
    assert (output["events"], output["ended"], output["error"]) == ([], False, "")


def test_a_stream_that_can_not_be_read_is_told_without_its_address(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        msg = f"redis://:{VALUE}@state can't be reached"
        raise ConnectionError(msg)

    monkeypatch.setattr("attune_tasks._celery.live_page._read", fail)
    answer = client.get(f"/attune/executions/{new_execution_id()}/output?after=5-0")
    told = json_of(answer)
    assert (told["error"], told["after"], told["ended"]) == ("ConnectionError", "5-0", False)
    assert VALUE not in answer.text + caplog.text


def test_another_tasks_result_is_not_shown(client: FlaskClient) -> None:
    celery = client.application.extensions["celery"]
    celery.backend.store_result("a-foreign-task", ValueError(VALUE), "FAILURE")
    celery.backend.store_result("one-more", {"secret": VALUE}, "SUCCESS")
    for task_id in ("a-foreign-task", "one-more"):
        answer = client.get(f"/attune/executions/{task_id}")
        assert json_of(answer)["status"] == "error"
        assert VALUE not in answer.text


def test_a_result_is_what_the_worker_stored(client: FlaskClient) -> None:
    celery = client.application.extensions["celery"]
    with fake_result("work.add", 3):
        sent = celery.tasks["attune_tasks.run_action"].delay("work.add", {"a": 3})
    celery.backend.store_result(sent.id, sent.get(), "SUCCESS")
    answer = json_of(client.get(f"/attune/executions/{sent.id}"))
    assert (answer["status"], answer["result"], answer["action"]) == ("succeeded", 3, "work.add")
    assert json_of(client.get(f"/attune/executions/{sent.id}/output"))["ended"] is True


def test_nobody_gets_anothers_execution_by_an_idempotency_key(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []

    def enqueue(*_: Any, idempotency_key: str, **__: Any) -> None:
        keys.append(idempotency_key)
        msg = "no more is looked at here"
        raise ValueError(msg)

    monkeypatch.setattr("attune_tasks.enqueue", enqueue)
    for name in ("ada", "bob"):
        with client.session_transaction() as opened:
            opened["user"] = name
        for key in ("one", "two", "two"):
            asked = {"action": "work.add", "idempotency_key": key}
            assert code_of(client.post("/attune/executions", json=asked)) == (400, "not_a_call")
    assert [keys.count(key) for key in keys] == [1, 2, 2, 1, 2, 2]
