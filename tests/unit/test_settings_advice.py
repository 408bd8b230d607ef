"""Which of the user's own Celery settings are named as hurting, and what is said to write instead."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from attune_tasks._celery.settings_advice import advice


def advised(**settings: Any) -> dict[str, str]:
    app = Celery("advised", set_as_current=False)
    app.conf.update(settings)
    return dict(advice(app))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("task_always_eager", True, "in the caller's process"),
        ("task_acks_late", True, "set acks_late on the tasks that can bear it"),
        ("task_reject_on_worker_lost", True, "comes back for ever"),
        ("result_extended", True, "result_extended = False"),
        ("worker_prefetch_multiplier", 4, "worker_prefetch_multiplier = 1"),
        ("accept_content", ["json", "pickle"], 'accept_content = ["json"]'),
        ("result_accept_content", ["pickle"], 'result_accept_content = ["json"]'),
        ("task_serializer", "yaml", 'task_serializer = "json"'),
        ("result_serializer", "yaml", 'result_serializer = "json"'),
        ("result_expires", 60, "result_expires = 86400"),
        ("task_time_limit", 600, "use the setting timeout"),
        ("task_soft_time_limit", 600, "use the setting timeout"),
        ("worker_send_task_events", False, "worker_send_task_events = True"),
        ("task_default_rate_limit", "1/m", "actions wait"),
        ("task_protocol", 1, "have no headers"),
        ("task_annotations", {"attune_tasks.run_action": {"acks_late": True}}, "may run twice"),
        ("task_annotations", {"attune_tasks.run_action": {"track_started": True}}, "it is stored anyway"),
    ],
)
def test_a_setting_that_hurts_is_named_with_what_to_write_instead(name: str, value: object, said: str) -> None:
    found = advised(**{name: value})
    assert list(found) == [name]
    assert said in found[name]
    assert len(found[name].splitlines()) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"result_extended": False, "worker_prefetch_multiplier": 1, "accept_content": ["application/json"]},
        {"result_expires": None, "worker_send_task_events": True, "task_acks_late": False},
        {"result_expires": 0, "result_accept_content": ["json"]},
    ],
)
def test_what_is_as_it_should_be_is_not_named(settings: dict[str, Any]) -> None:
    assert advised(**settings) == {}
