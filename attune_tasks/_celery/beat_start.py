"""What a beat does at its start: looks at the entries of ``beat_schedule`` that run actions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from celery import Celery, signals

from attune_tasks._celery.calls import read_call
from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import AttuneTasksError

__all__ = ["check_entries"]

logger: Final = logging.getLogger("attune_tasks.schedule")

_TASK: Final = "attune_tasks.run_action"


@signals.beat_init.connect
def check_entries(sender: Any, **_: Any) -> None:
    """Say in the log which entries can't be run. Beat goes on: the others' time will come all the same."""
    app: Celery = sender.app
    for name, entry in dict(app.conf.beat_schedule or {}).items():
        if not isinstance(entry, Mapping) or entry.get("task") != _TASK:
            continue
        try:
            call = read_call(entry.get("args"), entry.get("kwargs"))
            call.check()
            state = state_of(app)
            call.check_against(state.registry, state.loaded.settings)
        except (AttuneTasksError, TypeError) as error:  # a TypeError's text has names of arguments only
            logger.error("the schedule's entry %s can't be run: %s", name, error)  # noqa: TRY400 - no fault of ours
