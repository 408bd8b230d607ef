"""django-celery-beat's admin: an action is picked there, and its parameters are checked when it is saved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attune_tasks.tasks import NAME
from attune_tasks.testing import captured
from tests.django_site import Site, set_up_django

set_up_django()

from django_celery_beat.models import IntervalSchedule, PeriodicTask  # noqa: E402 - needs settings

ADD = "/admin/django_celery_beat/periodictask/add/"
BEAT = ("run:shop",)


def _client(site: Site, *permissions: str) -> Any:
    from django.contrib.auth.models import Permission

    user = site.user("ada", *permissions)
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="django_celery_beat"))
    return site.client(user)


def _save(client: Any, action: str = "", parameters: str = "", **fields: str) -> Any:
    every, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
    given = {
        "name": "hourly",
        "enabled": "on",
        "interval": str(every.pk),
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
    }
    ours = {"attune_action": action, "attune_parameters": parameters}
    return client.post(ADD, {**given, **ours, **fields})


def test_an_action_is_picked_from_those_that_one_may_run(django_site: Site) -> None:
    page = _client(django_site, *BEAT).get(ADD).content.decode()
    assert '<option value="shop.pay">' in page
    assert "work.add" not in page
    assert page.index("id_name") < page.index("id_attune_action") < page.index("id_attune_parameters")


def test_it_is_saved_as_a_message_that_beat_can_send(django_site: Site) -> None:
    client = _client(django_site, *BEAT)
    parameters = {"amount": 5, "key": "work/api#api_key"}
    assert _save(client, "shop.pay", json.dumps(parameters), kwargs='{"timeout": 5}').status_code == 302
    task = PeriodicTask.objects.get(name="hourly")
    assert (task.task, json.loads(task.args), json.loads(task.kwargs)) == (
        NAME,
        ["shop.pay", parameters],
        {"timeout": 5},
    )
    page = client.get(ADD.replace("add", f"{task.pk}/change")).content.decode()
    assert '<option value="shop.pay" selected>' in page
    assert "work/api#api_key" in page


@pytest.mark.parametrize(
    ("action", "parameters", "fields"),
    [
        ("shop.pay", '{"amount": "Zq7-typed", "key": "work/api#api_key"}', {}),
        ("shop.pay", '{"amount": 1, "key": "Zq7-secret"}', {}),
        ("", "", {"regtask": NAME, "args": '["shop.pay", {"amount": 1, "key": "Zq7-secret"}]'}),
        ("shop.pay", "[]", {}),
        ("shop.pay", '{"amount": 1, "key": "work/api#api_key"}', {"kwargs": '{"timeout": -1}'}),
        ("shop.pay", '{"amount": 1, "key": "work/api#api_key"}', {"kwargs": '{"surprise": 1}'}),
        ("work.add", '{"a": 1}', {}),
        ("", "", {"regtask": NAME, "args": '["work.add", {"a": 1}]'}),
        ("", "", {"task": NAME, "args": '["shop.pay", {"amount": 0}]'}),
        ("", "", {"task": NAME, "args": "[]"}),
    ],
)
def test_what_would_be_refused_later_is_refused_when_it_is_saved(
    django_site: Site, action: str, parameters: str, fields: dict[str, str]
) -> None:
    answer = _save(_client(django_site, *BEAT), action, parameters, **fields)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert 'class="errorlist"' in page
    assert "Zq7-secret" not in page
    assert PeriodicTask.objects.count() == 0


def test_other_tasks_are_saved_as_ever(django_site: Site) -> None:
    assert _save(_client(django_site, *BEAT), task="other.task").status_code == 302
    assert PeriodicTask.objects.get(name="hourly").task == "other.task"


@pytest.mark.parametrize("deed", ["run_tasks", "enable_tasks", "toggle_tasks"])
def test_a_task_is_neither_run_nor_enabled_by_who_may_not_run_its_action(django_site: Site, deed: str) -> None:
    every = IntervalSchedule.objects.create(every=1, period="hours")
    made = {"task": NAME, "interval": every, "args": '["work.add", {"a": 1}]', "enabled": False}
    task = PeriodicTask.objects.create(name="hourly", **made)
    client = _client(django_site, *BEAT)
    data = {"action": deed, "_selected_action": str(task.pk)}
    page = client.post(ADD.removesuffix("add/"), data, follow=True).content.decode()
    assert "You may not run the action of: hourly" in page
    task.refresh_from_db()
    assert not task.enabled


@pytest.mark.parametrize("deed", ["enable_tasks", "toggle_tasks"])
def test_one_whose_action_one_may_run_is_enabled(django_site: Site, deed: str) -> None:
    every = IntervalSchedule.objects.create(every=1, period="hours")
    made = {"task": NAME, "interval": every, "args": '["shop.pay", {"amount": 1}]', "enabled": False}
    task = PeriodicTask.objects.create(name="hourly", **made)
    data = {"action": deed, "_selected_action": str(task.pk)}
    _client(django_site, *BEAT).post(ADD.removesuffix("add/"), data)
    task.refresh_from_db()
    assert task.enabled


def test_one_whose_action_one_may_run_is_run_at_once(django_site: Site) -> None:
    every = IntervalSchedule.objects.create(every=1, period="hours")
    parameters = {"amount": 1, "key": "work/api#api_key"}
    made = {"interval": every, "args": json.dumps(["shop.pay", parameters]), "kwargs": '{"timeout": 5}'}
    task = PeriodicTask.objects.create(name="hourly", task=NAME, **made)
    client = _client(django_site, *BEAT)
    with captured() as calls:
        data = {"action": "run_tasks", "_selected_action": str(task.pk)}
        page = client.post(ADD.removesuffix("add/"), data, follow=True).content.decode()
    assert [(call.action_ref, call.parameters, call.timeout) for call in calls] == [("shop.pay", parameters, 5)]
    assert "1 task was successfully run" in page


STARMAP = {"task": {"task": NAME, "args": []}, "it": [["work.add", {"a": 1}]]}


@pytest.mark.parametrize(("permission", "status"), [("run:shop", 200), ("run:*", 302)])
def test_celerys_own_tasks_run_no_action_for_who_may_not_run_all(
    django_site: Site, permission: str, status: int
) -> None:
    kwargs = json.dumps(STARMAP).replace("attune", "\\u0061ttune")
    answer = _save(_client(django_site, permission), task="celery.starmap", kwargs=kwargs)
    assert answer.status_code == status
    assert PeriodicTask.objects.filter(task="celery.starmap").count() == (status == 302)


def test_such_a_task_is_not_run_either(django_site: Site) -> None:
    every = IntervalSchedule.objects.create(every=1, period="hours")
    made = {"task": "celery.starmap", "interval": every, "kwargs": json.dumps(STARMAP)}
    task = PeriodicTask.objects.create(name="hourly", **made)
    data = {"action": "run_tasks", "_selected_action": str(task.pk)}
    page = _client(django_site, *BEAT).post(ADD.removesuffix("add/"), data, follow=True).content.decode()
    assert "You may not run the action of: hourly" in page
