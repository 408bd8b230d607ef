"""The guard in a real prefork worker: a secret that came by the broker keeps the action from starting."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery, chain

from attune_tasks import Handle, enqueue
from attune_tasks.tasks import NAME
from tests.celery_worker import CeleryWorker
from tests.integration.packs import SECRETS
from tests.integration.surfaces import captured_events, holds
from tests.waiting import wait_until

KEY = SECRETS["api_key"]

pytestmark = pytest.mark.usefixtures("prefork_worker")


def refused(handle: Handle, name: str, place: str) -> None:
    """See that nothing was started, and that secret and place are named and nothing is quoted."""
    result = handle.result(timeout=30)
    assert (result.status, result.started_at, result.stdout) == ("error", None, "")
    assert result.error
    assert result.error["type"] == "secret_exposed"
    assert result.error["message"].startswith(f"the secret {name} stands in {place}, where others can read it")
    assert not any(holds(result.to_json().encode(), secret) for secret in SECRETS.values())


def sent(client: Celery, **options: Any) -> Handle:
    """Send the action that prints its secrets."""
    task: Any = client.tasks[NAME]
    return Handle(task.apply_async(("work.tell",), **options), "work.tell")


def test_what_a_message_carries_is_looked_at(client: Celery) -> None:
    other = client.signature("elsewhere.task", args=[f"Bearer {KEY}"])
    refused(sent(client, link=other), "api_key", "the message: a link")
    refused(sent(client, link_error=other), "api_key", "the message: a link_error")
    refused(sent(client, headers={"note": [SECRETS["password"]]}), "password", "the message: a header")
    refused(sent(client, shadow=json.dumps({"x": KEY})), "api_key", "the message: the header shadow")
    refused(enqueue("work.tell", caller=KEY, app=client), "api_key", "the caller's name in the message")
    assert sent(client, headers={"note": ["harmless"]}).result(timeout=30).succeeded


def test_so_is_the_rest_of_a_chain(client: Celery) -> None:
    task: Any = client.tasks[NAME]
    steps = chain(task.si("work.tell"), client.signature("elsewhere.task", args=[KEY], immutable=True), app=client)
    first: Any = steps.apply_async()
    while first.parent is not None:
        first = first.parent
    refused(Handle(first, "work.tell"), "api_key", "the message: the rest of the chain")


def test_a_message_of_a_sender_who_knows_the_name_only_shows_no_value(
    client: Celery, prefork_worker: CeleryWorker
) -> None:
    value = "a-value-which-events-must-not-show"
    with captured_events(client) as events:
        handle = Handle(client.send_task(NAME, args=["work.add", {"a": value}]), "work.add")
        assert handle.result(timeout=30).error
        wait_until(lambda: any(event["type"] == "task-failed" for event in events), "the event")
    received = [event for event in events if event["type"] == "task-received"]
    assert [(event["args"], event["kwargs"]) for event in received] == [("'work.add'", "{parameters: a=***}")]
    of_the_worker = [event for event in events if event["type"] != "task-sent"]
    assert value not in json.dumps(of_the_worker)
    assert value not in prefork_worker.log_path.read_text(encoding="utf-8")
