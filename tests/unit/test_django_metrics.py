"""What Prometheus is told of the recorded executions, and who gets it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.django_site import Site, set_up_django

set_up_django()

from django.utils import timezone  # noqa: E402 - needs settings
from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

from attune_tasks.contrib.django import metrics  # noqa: E402
from attune_tasks.contrib.django.models import Execution  # noqa: E402

URL = "/actions/metrics"


def _record(number: int, action: str, status: str, **times: Any) -> None:
    Execution.objects.create(execution_id=number, task_id=f"t{number}", action=action, status=status, **times)


def _told(text: str) -> dict[tuple[str, str, str], float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix("attune_tasks_recorded_")
            found[name, sample.labels["action"], sample.labels.get("status") or sample.labels["error"]] = sample.value
    return found


def test_recorded_executions_are_counted_by_action_and_status(django_site: Site) -> None:
    now = timezone.now()
    ended = {"started_at": now - timedelta(seconds=8), "finished_at": now - timedelta(seconds=5)}
    _record(1, "work.add", "succeeded", **ended)
    _record(2, "work.add", "succeeded", **ended)
    _record(3, "work.add", "failed")
    _record(4, "work.add", "pending", enqueued_at=now - timedelta(minutes=5))
    _record(5, "work.add", "pending", enqueued_at=now)
    _record(6, "work.add", "running", enqueued_at=now - timedelta(hours=1), started_at=now - timedelta(minutes=1))
    answer = django_site.client(django_site.user("ada", "view_execution")).get(URL)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    told = _told(answer.content.decode())
    assert {key: value for key, value in told.items() if key[0] == "executions"} == {
        ("executions", "work.add", "succeeded"): 2,
        ("executions", "work.add", "failed"): 1,
        ("executions", "work.add", "pending"): 2,
        ("executions", "work.add", "running"): 1,
    }
    assert told["oldest_seconds", "work.add", "pending"] == pytest.approx(300, abs=30)
    assert told["oldest_seconds", "work.add", "running"] == pytest.approx(60, abs=30)
    assert told["duration_seconds", "work.add", "succeeded"] == pytest.approx(6)
    assert ("duration_seconds", "work.add", "failed") not in told


def test_what_ended_as_an_error_is_counted_by_its_type(django_site: Site) -> None:
    for number, (status, kind) in enumerate(
        [
            ("error", "secrets_unavailable"),
            ("error", "secrets_unavailable"),
            ("error", "worker_lost"),
            ("error", "NotOurs"),
            ("error", "a stranger's"),
            ("failed", "nonzero_exit"),
        ]
    ):
        _record(number, "work.add", status, error={"type": kind, "message": "secrets_unavailable"})
    _record(6, "work.add", "error", error=None)
    told = _told(django_site.client(django_site.user("ada", "view_execution")).get(URL).content.decode())
    assert {key[1:]: value for key, value in told.items() if key[0] == "errors"} == {
        ("work.add", "secrets_unavailable"): 2,
        ("work.add", "worker_lost"): 1,
        ("work.add", "(other)"): 3,
    }


def test_actions_that_nobody_knows_go_together(django_site: Site) -> None:
    _record(1, "other.one", "failed")
    _record(2, "other.two", "failed")
    _record(3, "other.two", "error", error={"type": "worker_lost"})
    told = _told(django_site.client(django_site.user("ada", "view_execution")).get(URL).content.decode())
    assert told == {
        ("executions", "(unknown)", "failed"): 2,
        ("executions", "(unknown)", "error"): 1,
        ("errors", "(unknown)", "worker_lost"): 1,
    }


@pytest.mark.parametrize(("permission", "status"), [("run:*", 403), ("", 401)])
def test_who_may_not_see_all_executions_gets_none(django_site: Site, permission: str, status: int) -> None:
    user = [django_site.user("ada", permission)] if permission else []
    answer = django_site.client(*user).get(URL)
    assert answer.status_code == status
    assert "attune_tasks_recorded" not in answer.content.decode()


def test_it_says_what_to_install(django_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda _: None)
    answer = django_site.client(django_site.user("ada", "view_execution")).get(URL)
    assert answer.status_code == 501
    assert "attune-tasks[metrics]" in answer.json()["error"]["message"]
