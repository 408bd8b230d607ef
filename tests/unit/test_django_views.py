"""The three JSON views: who gets in, what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attune_tasks.testing import captured, fake_result
from tests.django_site import Site, set_up_django

set_up_django()

from django.test import override_settings  # noqa: E402 - needs settings

from attune_tasks.contrib.django.models import Execution  # noqa: E402

ENQUEUE = "/actions/executions/"


def _post(client: Any, body: object, **options: Any) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(ENQUEUE, text, content_type="application/json", **options)


def test_an_action_is_enqueued_and_its_end_and_output_are_told(django_site: Site) -> None:
    client = django_site.client(django_site.user("ada", "run:work"))
    with fake_result("work.add", 3, stdout="added\n", stderr="hm\n"):
        answer = _post(client, {"action": "work.add", "parameters": {"a": 1}})
    ids = answer.json()
    assert answer.status_code == 202
    assert ids["status"] == f"{ENQUEUE}{ids['execution_id']}/"
    told = client.get(ids["status"]).json()
    assert (told["status"], told["result"], told["action"]) == ("succeeded", 3, "work.add")
    assert told["parameters"] == {"a": 1}
    output = client.get(ids["output"]).json()
    assert [(event["stream"], event["text"]) for event in output["events"]] == [
        ("stdout", "added\n"),
        ("stderr", "hm\n"),
    ]
    assert (output["ended"], output["status"]) == (True, "succeeded")
    assert client.get(ids["output"], {"after": output["after"]}).json()["events"] == []


def test_who_is_not_signed_in_is_refused_and_sent_to_no_page(django_site: Site) -> None:
    execution = Execution.objects.create(execution_id=7, task_id="x", action="work.add")
    client = django_site.client()
    answers = [
        _post(client, {"action": "work.add"}),
        client.get(f"{ENQUEUE}{execution.execution_id}/"),
        client.get(f"{ENQUEUE}{execution.execution_id}/output/"),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert {answer.json()["error"]["type"] for answer in answers} == {"not_signed_in"}


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        ("run:*", True),
        ("run:work", True),
        ("run:work.add", True),
        ("run:work.late", False),
        ("run:shop", False),
        ("view_execution", False),
    ],
)
def test_running_takes_a_permission_for_all_for_the_pack_or_for_the_action(
    django_site: Site, permission: str, *, allowed: bool
) -> None:
    client = django_site.client(django_site.user("ada", permission))
    with captured() as calls:
        answer = _post(client, {"action": "work.add", "parameters": {"a": 1}})
    assert (answer.status_code, len(calls)) == ((202, 1) if allowed else (403, 0))


def test_one_sees_his_own_and_with_the_permission_all(django_site: Site) -> None:
    ada, bob, eve = (django_site.user(*each) for each in (("ada",), ("bob",), ("eve", "view_execution")))
    Execution.objects.create(execution_id=7, task_id="x", action="work.add", user=ada, status="failed")
    for name in ("", "output/"):
        seen = [django_site.client(user).get(f"{ENQUEUE}7/{name}").status_code for user in (ada, bob, eve)]
        assert seen == [200, 404, 200]
    unknown = django_site.client(eve).get(f"{ENQUEUE}{1 << 63}/")
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "unknown_execution")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ("{", 400, "not_json"),
        ("[" * 100_000, 400, "not_json"),
        ([], 400, "not_a_call"),
        ({"action": 3}, 400, "not_a_call"),
        ({"action": "work.add", "parameter": {}}, 400, "not_a_call"),
        ({"action": "work.ad"}, 404, "unknown_action"),
        ({"action": "work.add", "parameters": {"a": "Zq7-typed-Xw2"}}, 400, "invalid_parameters"),
        ({"action": "work.add", "parameters": []}, 400, "invalid_parameters"),
        ({"action": "work.add", "parameters": {"a": 1}, "timeout": -1}, 400, "invalid_parameters"),
        ({"action": "work.add", "parameters": {"a": 1}, "idempotency_key": 3}, 400, "not_a_call"),
        ({"action": "shop.pay", "parameters": {"amount": 1, "key": "Zq7-typed-Xw2"}}, 400, "invalid_parameters"),
    ],
)
def test_what_is_wrong_is_told_and_no_value_quoted(django_site: Site, body: object, status: int, kind: str) -> None:
    answer = _post(django_site.client(django_site.user("ada", "run:*")), body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
    assert "Zq7-typed-Xw2" not in answer.content.decode()
    assert Execution.objects.count() == 0


def test_the_methods_and_the_token_are_djangos_own(django_site: Site) -> None:
    user = django_site.user("ada", "run:*")
    assert django_site.client(user).get(ENQUEUE).status_code == 405
    client = django_site.client(user, enforce_csrf_checks=True)
    assert _post(client, {"action": "work.add", "parameters": {"a": 1}}).status_code == 403
    client.cookies["csrftoken"] = token = "a" * 32
    with captured() as calls:
        answer = _post(client, {"action": "work.add", "parameters": {"a": 1}}, headers={"X-CSRFToken": token})
    assert (answer.status_code, len(calls)) == (202, 1)


def by_header(request: Any) -> Any:
    """Sign in by what no browser sends by itself."""
    return by_token(request)


by_header.csrf_exempt = True  # type: ignore[attr-defined]  # as Django's decorator does


def by_token(request: Any) -> Any:
    """Sign in as a project's own function does."""
    from django.contrib.auth.models import User

    return User.objects.filter(username=request.headers.get("X-Token", "")).first()


def test_the_project_may_sign_in_by_its_own_function(django_site: Site) -> None:
    django_site.user("ada", "run:*")
    own = {"authenticate": f"{__name__}.by_token"}
    with override_settings(ATTUNE_TASKS={**django_site.settings, "django": own}), captured():
        body = {"action": "work.add", "parameters": {"a": 1}}
        assert _post(django_site.client(), body, headers={"X-Token": "ada"}).status_code == 202
        assert _post(django_site.client(), body, headers={"X-Token": "eve"}).status_code == 401


def test_a_function_that_goes_by_a_header_may_do_without_the_token_and_no_other(django_site: Site) -> None:
    django_site.user("ada", "run:*")
    body = {"action": "work.add", "parameters": {"a": 1}}
    client = django_site.client(enforce_csrf_checks=True)
    for name, user, status in (("by_header", "ada", 202), ("by_header", "eve", 401), ("by_token", "ada", 403)):
        own = {"authenticate": f"{__name__}.{name}"}
        with override_settings(ATTUNE_TASKS={**django_site.settings, "django": own}), captured() as calls:
            assert _post(client, body, headers={"X-Token": user}).status_code == status, (name, user)
        assert len(calls) == (status == 202)


def test_a_body_that_is_too_long_is_refused_as_all_else_is(django_site: Site) -> None:
    client = django_site.client(django_site.user("ada", "run:*"))
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100):
        answer = _post(client, {"action": "work.add", "parameters": {"a": "1" * 100}})
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")


def test_where_requests_are_transactions_a_broker_that_is_away_is_told_all_the_same(
    django_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection

    import attune_tasks

    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError

    client = django_site.client(django_site.user("ada", "run:*"))
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)  # noqa: FBT003
    monkeypatch.setattr(attune_tasks, "enqueue", away)
    answer = _post(client, {"action": "work.routed"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "broker_unavailable")


def test_a_broker_that_is_away_is_told_without_its_address(django_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import attune_tasks

    def away(*_: Any, **__: Any) -> None:
        message = "redis://:Zq7-broker-Xw2@away"
        raise ConnectionError(message)

    monkeypatch.setattr(attune_tasks, "enqueue", away)
    answer = _post(django_site.client(django_site.user("ada", "run:*")), {"action": "work.routed"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "broker_unavailable")
    assert "Zq7-broker-Xw2" not in answer.content.decode()


def test_whatever_comes_back_from_a_browser_as_a_place_is_looked_at(django_site: Site) -> None:
    ada = django_site.user("ada")
    Execution.objects.create(execution_id=7, task_id="x", action="work.add", user=ada)
    told = django_site.client(ada).get(f"{ENQUEUE}7/output/", {"after": "a\nb"}).json()
    assert (told["after"], told["ended"], told["status"]) == ("", False, "pending")


def test_where_the_stream_can_not_be_read_an_execution_that_has_ended_is_told_from_its_record(
    django_site: Site,
) -> None:
    ada = django_site.user("ada")
    Execution.objects.create(execution_id=7, task_id="x", action="a.b", user=ada, status="failed", stdout="so far\n")
    away = {**django_site.settings, "state_url": "redis://127.0.0.1:1/0"}
    with override_settings(ATTUNE_TASKS=away):
        client = django_site.client(ada)
        told = client.get(f"{ENQUEUE}7/output/").json()
        rest = client.get(f"{ENQUEUE}7/output/", {"after": "5-0"}).json()
    assert [event["text"] for event in told["events"]] == ["so far\n"]
    assert (told["ended"], told["after"], told["error"]) == (True, "record", "ConnectionError")
    assert (rest["ended"], rest["after"], rest["events"]) == (False, "5-0", [])  # the rest may come yet


def test_an_answer_is_stored_nowhere_on_the_way(django_site: Site) -> None:
    ada = django_site.user("ada")
    Execution.objects.create(execution_id=7, task_id="x", action="work.add", user=ada, status="failed")
    assert "no-store" in django_site.client(ada).get(f"{ENQUEUE}7/").headers["Cache-Control"]


def test_a_stream_that_fails_between_two_reads_is_told_and_read_on_later(
    django_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The execution ends between the two: only then is it read twice."""
    from attune_tasks._celery import live_page
    from attune_tasks._celery.live_events import OutputEvent
    from attune_tasks._celery.live_page import LivePage
    from attune_tasks.contrib.django import output

    pages: dict[str, Any] = {
        "0-0": LivePage([OutputEvent("stdout", "first\n")], "5-0", has_more=False),
        "5-0": LivePage([OutputEvent("stdout", "last\n")], "6-0", has_more=False),
    }
    down = {"5-0"}

    def read(_app: Any, _execution_id: int, after: str) -> LivePage:
        if after in down:
            message = "redis://:Zq7-broker-Xw2@away"
            raise ConnectionError(message)
        page: LivePage = pages[after]
        return page

    def refresh(execution: Execution, _app: Any) -> Execution:
        execution.status = "succeeded"
        execution.save()
        return execution

    monkeypatch.setattr(live_page, "_read", read)
    monkeypatch.setattr(output, "refresh", refresh)
    ada = django_site.user("ada")
    Execution.objects.create(execution_id=7, task_id="x", action="work.add", user=ada, status="running")
    client = django_site.client(ada)
    answer = client.get(f"{ENQUEUE}7/output/")
    told = answer.json()
    assert [event["text"] for event in told["events"]] == ["first\n"]
    assert (told["ended"], told["after"], told["error"]) == (False, "5-0", "ConnectionError")
    assert "Zq7-broker-Xw2" not in answer.content.decode()
    down.clear()
    rest = client.get(f"{ENQUEUE}7/output/", {"after": told["after"]}).json()
    assert [event["text"] for event in rest["events"]] == ["last\n"]
    assert (rest["ended"], rest["error"]) == (True, "")


def of_another_model(_: Any) -> Any:
    """Sign in somebody whose key is another user's in the project's own model."""
    from types import SimpleNamespace

    return SimpleNamespace(is_authenticated=True, is_active=True, pk=1)


def test_a_user_of_another_model_is_refused_with_what_is_wrong(django_site: Site) -> None:
    own = {"authenticate": f"{__name__}.of_another_model"}
    with (
        override_settings(ATTUNE_TASKS={**django_site.settings, "django": own}),
        captured() as calls,
        pytest.raises(TypeError, match="expected a user of AUTH_USER_MODEL"),
    ):
        _post(django_site.client(), {"action": "work.add"})
    assert not calls


def test_nobody_gets_anothers_execution_by_an_idempotency_key(
    django_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []

    def enqueue(*_: Any, idempotency_key: str, **__: Any) -> None:
        keys.append(idempotency_key)
        raise ConnectionError

    monkeypatch.setattr("attune_tasks.contrib.django.views.enqueue", enqueue)
    for name in ("ada", "bob"):
        client = django_site.client(django_site.user(name, "run:*"))
        for key in ("one", "two", "two"):
            assert _post(client, {"action": "work.add", "idempotency_key": key}).status_code == 503
    assert [keys.count(key) for key in keys] == [1, 2, 2, 1, 2, 2]
