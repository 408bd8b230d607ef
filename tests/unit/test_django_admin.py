"""The admin: what it shows, to whom, and what it refuses. Each page is got as a browser gets it."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from attune_tasks.ids import task_id_of
from attune_tasks.testing import captured
from tests.django_site import Site, set_up_django
from tests.integration.packs import SECRETS

set_up_django()

from django.utils import timezone  # noqa: E402 - needs settings

from attune_tasks.contrib.django.models import Execution  # noqa: E402

LIST = "/admin/attune_tasks/execution/"
ALL = ("view_execution", "run:*", "cancel_execution", "check_secrets")


def _make(number: int = 7, **fields: Any) -> Execution:
    given = {"action": "work.add", "status": "succeeded", "parameters": {"a": 1}, **fields}
    made: Execution = Execution.objects.create(execution_id=number, task_id=task_id_of(number), **given)
    return made


def _text(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    text: str = answer.content.decode()
    return text


def test_the_list_filters_searches_and_goes_down_by_date(django_site: Site) -> None:
    now = timezone.now()
    _make(7, enqueued_at=now - timedelta(days=400), status="failed", caller="eve")
    _make(1234567890123, enqueued_at=now, action="shop.pay")
    client = django_site.client(django_site.user("ada", *ALL))
    whole = _text(client.get(LIST))
    assert whole.count('class="field-execution') == 2
    assert f"?enqueued_at__year={now.year}" in whole
    for query, number in (
        ("?status__exact=failed", 7),
        ("?action=shop.pay", 1234567890123),
        ("?q=eve", 7),
        ("?q=1234567890123", 1234567890123),
        (f"?enqueued_at__year={now.year}", 1234567890123),
    ):
        found = re.findall(r'class="field-execution[^>]*>.*?(\d+)</a>', _text(client.get(LIST + query)))
        assert found == [str(number)], query


def test_the_page_of_an_execution_shows_all_of_it(django_site: Site) -> None:
    receipts = [{"name": "key", "reference": "work/api#api_key", "version": 3}]
    error = {"type": "failed", "message": "no money"}
    execution = _make(result={"paid": False}, receipts=receipts, error=error, status="failed", exit_code=3)
    page = _text(django_site.client(django_site.user("ada", *ALL)).get(f"{LIST}{execution.pk}/change/"))
    for text in ("no money", "&quot;paid&quot;: false", "work/api#api_key", "failed", str(execution.execution_id)):
        assert text in page
    assert f'data-url="{LIST}{execution.pk}/live/"' in page
    assert "attune_tasks/execution.js" in page
    assert "Run it again" in page
    assert "Cancel it" not in page  # it has ended


def test_what_an_action_says_is_never_markup(django_site: Site) -> None:
    said = "<script>alert(1)</script>"
    execution = _make(stdout=said, stderr=said, result={said: said}, error={"type": said, "message": said}, caller=said)
    execution.parameters = {said: said}
    execution.action = f"a.{said}"
    execution.save()
    ada = django_site.user("ada", *ALL)
    client = django_site.client(ada)
    for address in (LIST, f"{LIST}{execution.pk}/change/", f"{LIST}packs/", f"{LIST}run/", f"{LIST}run/shop.script/"):
        page = _text(client.get(address))
        assert "<script>alert" not in page, address
    assert "&lt;script&gt;alert" in _text(client.get(f"{LIST}{execution.pk}/change/"))
    live = client.get(f"{LIST}{execution.pk}/live/")
    assert live.headers["Content-Type"] == "application/json"  # the page puts it there as text
    assert live.json()["events"][0]["text"] == said


def test_under_asgi_the_output_comes_as_a_stream_of_events(django_site: Site) -> None:
    from django.db import connections
    from django.test import AsyncClient

    ada = django_site.user("ada", "run:*")
    ended, other = _make(7, user=ada, stdout="one\ntwo\n"), _make(8)
    cookies = django_site.client(ada).cookies

    async def get() -> tuple[str, Any, int]:
        client = AsyncClient()
        client.cookies = cookies
        page = await client.get(f"{LIST}{ended.pk}/change/")
        answer = await client.get(f"{LIST}{ended.pk}/events/")
        data = b"".join([part async for part in answer.streaming_content])
        forbidden = await client.get(f"{LIST}{other.pk}/events/")
        await sync_to_async(connections.close_all)()
        return page.content.decode(), data, forbidden.status_code

    page, data, status = asyncio.run(get())
    assert f'data-events="{LIST}{ended.pk}/events/"' in page
    (event,) = data.decode().strip().split("\n\n")
    told = json.loads(event.partition("data: ")[2])
    assert event.startswith("id: record\n")
    assert (told["ended"], told["events"][0]["text"]) == (True, "one\ntwo\n")
    assert status == 404
    client = django_site.client(ada)
    assert 'data-events=""' in _text(client.get(f"{LIST}{ended.pk}/change/"))  # by WSGI
    assert client.get(f"{LIST}{ended.pk}/events/").status_code == 404


def test_the_pages_script_makes_no_markup_of_text() -> None:
    from tests.docs_blocks import ROOT

    script = ROOT / "attune_tasks" / "contrib" / "django" / "static" / "attune_tasks" / "execution.js"
    text = script.read_text(encoding="utf-8")
    assert "textContent = text" in text
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in text


def test_an_action_is_run_by_its_form_wrong_input_first(django_site: Site) -> None:
    ada = django_site.user("ada", "run:shop")
    client = django_site.client(ada)
    with captured() as calls:
        wrong = _text(client.post(f"{LIST}run/shop.pay/", {"p_amount": "none", "p_key": "Zq7-secret"}))
        assert "Enter a whole number." in wrong
        assert "Zq7-secret" not in wrong
        assert calls == []
        good = {"p_amount": "5", "p_key": "work/api#api_key", "p_currency": "0"}
        answer = client.post(f"{LIST}run/shop.pay/", good)
    (call,) = calls
    assert call.parameters == {"amount": 5, "currency": "EUR", "key": "work/api#api_key"}
    assert call.caller == "ada"
    execution = Execution.objects.get()
    assert answer.headers["Location"] == f"{LIST}{execution.pk}/change/"
    page = _text(client.get(answer.headers["Location"]))
    assert f"Enqueued: shop.pay, as execution {execution.execution_id}." in page


def test_every_input_has_a_label(django_site: Site) -> None:
    page = _text(django_site.client(django_site.user("ada", "run:*")).get(f"{LIST}run/shop.pay/"))
    fields = set(re.findall(r'<(?:input|select|textarea)[^>]* id="(id_\w+)"', page))
    assert len(fields) == 7
    assert fields <= set(re.findall(r'<label[^>]* for="(\w+)"', page))


def test_it_is_run_again_by_its_references(django_site: Site) -> None:
    client = django_site.client(django_site.user("ada", *ALL))
    parameters = {"amount": 5, "key": "work/api#api_key"}
    execution = _make(action="shop.pay", parameters=parameters, timeout=3.0)
    masked = _make(8, action="shop.pay", parameters={"amount": "***"})
    with captured() as calls:
        client.post(f"{LIST}{execution.pk}/again/")
        answer = client.post(f"{LIST}{masked.pk}/again/")
    assert [(call.action_ref, call.parameters, call.timeout) for call in calls] == [("shop.pay", parameters, 3.0)]
    assert answer.headers["Location"] == f"{LIST}run/shop.pay/?of={masked.pk}"


def test_it_is_run_otherwise_from_what_it_was_given_and_of_what_is_masked_nothing(django_site: Site) -> None:
    ada = django_site.user("ada", "run:shop")
    given = {"amount": 5, "currency": "USD", "express": False, "note": "***", "key": "work/api#password"}
    execution = _make(action="shop.pay", parameters=given, user=ada)
    client = django_site.client(ada)
    page = _text(client.get(f"{LIST}{execution.pk}/change/"))
    (address,) = re.findall(r'href="([^"]*)">Run it otherwise', page)
    form = _text(client.get(address))
    assert re.search(r'name="p_amount" value="5"', form)
    assert '<option value="1" selected>USD</option>' in form
    assert '<option value="false" selected>no</option>' in form
    assert '<option value="work/api#password" selected>' in form
    assert 'name="p_note"' in form
    assert "***" not in form
    with captured() as calls:
        client.post(address, {"p_amount": "6", "p_currency": "1", "p_express": "false", "p_key": "work/api#password"})
    assert [call.parameters for call in calls] == [
        {"amount": 6, "currency": "USD", "express": False, "key": "work/api#password"}
    ]


def test_a_value_that_stands_where_a_reference_belongs_is_not_in_the_form(django_site: Site) -> None:
    """As where a parameter has become a secret one since it was recorded."""
    ada = django_site.user("ada", "run:shop")
    execution = _make(action="shop.pay", parameters={"amount": 5, "key": "Zq7-recorded"}, user=ada)
    form = _text(django_site.client(ada).get(f"{LIST}run/shop.pay/?of={execution.pk}"))
    assert 'value="5"' in form
    assert "Zq7-recorded" not in form


def test_nobody_learns_by_the_form_what_anothers_execution_was_given(django_site: Site) -> None:
    theirs = _make(action="shop.pay", parameters={"amount": 4711}, user=django_site.user("eve"))
    ada = django_site.user("ada", "run:shop")
    own = _make(8, action="work.add", parameters={"a": 4711}, user=ada)
    client = django_site.client(ada)
    for of in (theirs.pk, own.pk, 0, "nobody"):
        assert client.get(f"{LIST}run/shop.pay/?of={of}").status_code == 404


def test_a_strangers_name_that_no_address_can_hold_keeps_no_page_from_being_shown(django_site: Site) -> None:
    execution = _make(action="a\nb")
    page = _text(django_site.client(django_site.user("ada", *ALL)).get(f"{LIST}{execution.pk}/change/"))
    assert "Run it otherwise" not in page


def test_one_is_cancelled(django_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from attune_tasks import Handle
    from attune_tasks._celery.cancelling import CancelAnswer

    cancelled: list[str] = []

    def cancel(handle: Handle) -> CancelAnswer:
        cancelled.append(handle.task_id)
        return CancelAnswer("cancelling", ("worker@here",))

    monkeypatch.setattr(Handle, "cancel", cancel)
    client = django_site.client(django_site.user("ada", *ALL))
    execution = _make(status="running")
    page = _text(client.get(f"{LIST}{execution.pk}/change/"))
    assert "Cancel it" in page
    answer = client.post(f"{LIST}{execution.pk}/cancel/", follow=True)
    assert cancelled == [execution.task_id]
    assert "it is being ended by worker@here" in _text(answer)
    assert client.get(f"{LIST}{execution.pk}/cancel/").status_code == 405


@pytest.mark.parametrize(
    ("permissions", "statuses"),
    [
        ((), [403, 404, 404, 403, 403, 403, 404, 404]),
        (("view_execution",), [200, 200, 200, 200, 403, 403, 403, 403]),
        (("run:shop",), [200, 404, 404, 200, 200, 403, 404, 404]),
        (ALL, [200, 200, 200, 200, 200, 200, 302, 302]),
    ],
)
def test_each_page_and_each_deed_takes_its_permission(
    django_site: Site, permissions: tuple[str, ...], statuses: list[int]
) -> None:
    """Of another's execution."""
    execution = _make(status="running", user=django_site.user("eve"))
    client = django_site.client(django_site.user("ada", *permissions))
    own = f"{LIST}{execution.pk}/"
    with captured() as calls:
        found = [client.get(LIST), client.get(f"{own}change/"), client.get(f"{own}live/"), client.get(f"{LIST}packs/")]
        found += [client.get(f"{LIST}run/"), client.post(f"{LIST}run/work.add/", {"p_a": "none"})]
        found += [client.post(f"{own}again/"), client.post(f"{own}cancel/")]
    assert [answer.status_code for answer in found] == statuses
    assert len(calls) == (1 if permissions == ALL else 0)


def test_who_is_no_staff_or_not_signed_in_gets_to_the_page_to_sign_in(django_site: Site) -> None:
    execution = _make()
    customer = django_site.user("eve", *ALL, is_staff=False)
    for client in (django_site.client(), django_site.client(customer)):
        for address in (LIST, f"{LIST}run/", f"{LIST}run/work.add/", f"{LIST}packs/", f"{LIST}{execution.pk}/live/"):
            assert client.get(address).status_code == 302
        for deed in ("again", "cancel"):
            assert "/login/" in client.post(f"{LIST}{execution.pk}/{deed}/").headers["Location"]


def test_one_who_may_run_sees_his_own_alone(django_site: Site) -> None:
    ada = django_site.user("ada", "run:work")
    own = _make(7, user=ada)
    _make(8, user=django_site.user("eve"))
    client = django_site.client(ada)
    assert re.findall(r'class="field-execution[^>]*>.*?(\d+)</a>', _text(client.get(LIST))) == ["7"]
    assert client.get(f"{LIST}{own.pk}/change/").status_code == 200


def test_the_actions_to_choose_from_are_those_that_one_may_run(django_site: Site) -> None:
    page = _text(django_site.client(django_site.user("ada", "run:shop")).get(f"{LIST}run/"))
    assert "run/shop.pay/" in page
    assert "shop.off" not in page  # it is disabled
    assert "work.add" not in page
    assert django_site.client(django_site.user("eve", "run:*")).get(f"{LIST}run/shop.off/").status_code == 404


def test_nothing_is_done_without_the_token(django_site: Site) -> None:
    execution = _make(status="running")
    client = django_site.client(django_site.user("ada", *ALL), enforce_csrf_checks=True)
    with captured() as calls:
        for address in (f"{LIST}run/routed/", f"{LIST}packs/", f"{LIST}{execution.pk}/again/"):
            assert client.post(address).status_code == 403
        assert client.post(f"{LIST}{execution.pk}/cancel/").status_code == 403
    assert calls == []


def test_nobody_adds_or_changes_a_record(django_site: Site) -> None:
    client = django_site.client(django_site.user("root", is_superuser=True))
    execution = _make()
    assert client.get(f"{LIST}add/").status_code == 403
    client.post(f"{LIST}{execution.pk}/change/", {"status": "failed", "action": "a.b"})
    execution.refresh_from_db()
    assert (execution.status, execution.action) == ("succeeded", "work.add")


def test_the_packs_page_says_which_secrets_are_there_and_never_what_they_are(django_site: Site) -> None:
    django_site.secrets.write_text(f"work/api:\n  api_key: {SECRETS['api_key']}\n", encoding="utf-8")
    client = django_site.client(django_site.user("ada", *ALL))
    before, after = _text(client.get(f"{LIST}packs/")), _text(client.post(f"{LIST}packs/", {"pack": "work"}))
    assert "found</strong>" not in before
    assert "work/api#api_key" in before
    assert re.search(r"work/api#api_key</code> \(required\)\s*<strong>found</strong>", after)
    assert re.search(r"work/api#password</code> \(required\)\s*<strong>not found</strong>", after)
    assert "shell" in after
    assert not [value for value in SECRETS.values() if value in before + after]
    viewer = django_site.client(django_site.user("eve", "view_execution"))
    assert viewer.post(f"{LIST}packs/", {"pack": "work"}).status_code == 403


def test_a_broker_that_is_away_is_told_without_its_address(
    django_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import attune_tasks

    def away(*_: Any, **__: Any) -> None:
        message = "redis://:Zq7-broker-Xw2@away"
        raise ConnectionError(message)

    monkeypatch.setattr(attune_tasks, "enqueue", away)
    client = django_site.client(django_site.user("ada", *ALL))
    page = _text(client.post(f"{LIST}run/work.routed/"))
    assert "the broker can&#x27;t be used: ConnectionError" in page
    assert "Zq7-broker-Xw2" not in page + caplog.text


def test_what_stands_in_a_record_is_what_the_page_is_told(django_site: Site) -> None:
    """Nothing is masked here: that no record has a secret is the worker's, and tried with one (test_django_worker)."""
    execution = _make(stdout=SECRETS["api_key"])
    client = django_site.client(django_site.user("ada", *ALL))
    assert SECRETS["api_key"] in client.get(f"{LIST}{execution.pk}/live/").content.decode()
