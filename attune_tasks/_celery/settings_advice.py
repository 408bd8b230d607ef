"""Celery settings of the user's own that hurt executions: why, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from celery import Celery

__all__ = ["Advice", "advice"]

_TASK: Final = "attune_tasks.run_action"
_SHORT_SECONDS: Final = 3600.0


class Advice(NamedTuple):
    """One setting that hurts."""

    setting: str
    text: str
    """Why, and what to write instead, in one line."""


class _Rule(NamedTuple):
    setting: str
    hurts: Callable[[Any], bool]
    text: str


_RULES: Final = (
    _Rule(
        "task_always_eager", bool, "actions run in the caller's process, with its secrets: leave it out but in tests"
    ),
    _Rule(
        "task_acks_late",
        bool,
        "your other tasks run twice after a lost worker or a visibility timeout; actions never do:"
        " set acks_late on the tasks that can bear it",
    ),
    _Rule(
        "task_reject_on_worker_lost",
        bool,
        "a task that kills its worker comes back for ever: set it on the tasks that can bear it",
    ),
    _Rule("result_extended", bool, "parameters are stored with every result: result_extended = False"),
    _Rule(
        "worker_prefetch_multiplier",
        lambda value: value != 1,
        "messages wait behind a long action while another worker is free: worker_prefetch_multiplier = 1",
    ),
    _Rule(
        "accept_content",
        lambda value: not {"json", "application/json"}.issuperset(value or ()),
        'whoever can write to the broker may send more than JSON, and pickle is code: accept_content = ["json"]',
    ),
    _Rule(
        "result_accept_content",
        lambda value: value is not None and not {"json", "application/json"}.issuperset(value),
        'whoever can write to the result backend may store more than JSON: result_accept_content = ["json"]',
    ),
    _Rule("task_serializer", lambda value: value != "json", 'actions are called with JSON: task_serializer = "json"'),
    _Rule("result_serializer", lambda value: value != "json", 'results are JSON: result_serializer = "json"'),
    _Rule("task_protocol", lambda value: value != 2, "its messages have no headers: leave it out"),  # noqa: PLR2004
    _Rule(
        "result_expires",
        lambda value: value is not None and 0 < _seconds(value) < _SHORT_SECONDS,
        "results go before slow callers read them: result_expires = 86400",
    ),
    _Rule(
        "task_time_limit",
        bool,
        "Celery kills the worker's process, and the action with it, with no grace: use the setting timeout",
    ),
    _Rule(
        "task_soft_time_limit",
        bool,
        "it ends actions beside their own timeout, and their output is lost: use the setting timeout",
    ),
    _Rule(
        "worker_send_task_events",
        lambda value: not value,
        "Flower and other monitors see nothing: worker_send_task_events = True",
    ),
    _Rule(
        "task_default_rate_limit",
        bool,
        "actions wait although slots are free: set rate_limit on the tasks that need one",
    ),
)


def advice(app: Celery) -> list[Advice]:
    """Name the settings of `app` that hurt, as a worker would have them."""
    import attune_tasks.tasks  # noqa: F401 - registers the task
    from attune_tasks._celery.worker_defaults import fill_in

    fill_in(app)
    found = [Advice(rule.setting, rule.text) for rule in _RULES if rule.hurts(app.conf.get(rule.setting))]
    task = app.tasks[_TASK]
    if task.acks_late:
        found.append(Advice("task_annotations", f"acks_late of {_TASK}: an action may run twice: leave it out"))
    if task.track_started:
        found.append(Advice("task_annotations", f"track_started of {_TASK}: it is stored anyway: leave it out"))
    return found


def _seconds(value: Any) -> float:
    return float(value.total_seconds() if hasattr(value, "total_seconds") else value)
