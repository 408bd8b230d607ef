"""The caller's side of run_action: ids, queues, checks and headers are added here, however the task is called."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Final

from celery import Task

from attune_tasks._celery import capturing
from attune_tasks._celery.calls import Call, read_call
from attune_tasks._celery.per_app import AppState, state_of
from attune_tasks.ids import execution_id_of, new_execution_id, task_id_of

__all__ = ["CALLER_HEADER", "ActionTask"]

CALLER_HEADER: Final = "attune_caller"
_DESTINATIONS: Final = frozenset({"queue", "exchange", "routing_key"})


class ActionTask(Task[Any, Any]):
    """The base of run_action. What it adds holds for ``delay``, ``apply_async``, canvas and beat alike."""

    abstract = True
    Request = "attune_tasks._celery.request:ActionRequest"

    def apply_async(  # noqa: PLR0913, PLR0917 - Celery's own
        self,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> Any:
        """Send one call, as Celery's ``apply_async`` does.

        Raises UnknownActionError and InvalidParametersError where the packs are known here, and TypeError for
        arguments that run_action does not have.
        """
        call = read_call(args, kwargs)
        call.check()
        state = state_of(self.app)
        call.check_against(state.registry)
        task_id = task_id or task_id_of(new_execution_id())
        if not options.keys() & _DESTINATIONS and (queue := _queue(call, state)):
            options["queue"] = queue
        options["headers"] = {CALLER_HEADER: _default_caller(), **(options.get("headers") or {})}
        captured = capturing.capture(_enqueued(call, task_id, options))
        if captured is not None:
            return captured
        options |= call.shown()
        shadow = shadow or call.ref
        return super().apply_async(args, kwargs, task_id, producer, link, link_error, shadow, **options)


def _queue(call: Call, state: AppState) -> str | None:
    for pattern, queue in state.loaded.settings.routes.items():
        if fnmatchcase(call.ref, pattern):
            return queue
    return state.registry.get(call.ref).queue if call.ref in state.registry else None


def _enqueued(call: Call, task_id: str, options: Mapping[str, Any]) -> capturing.Enqueued:
    return capturing.Enqueued(
        action_ref=call.ref,
        parameters=call.parameters or {},
        env=call.env or {},
        timeout=call.timeout,
        queue=str(options["queue"]) if options.get("queue") else None,
        task_id=task_id,
        execution_id=execution_id_of(task_id),
        caller=options["headers"][CALLER_HEADER],
        **{name: options.get(name) for name in ("countdown", "eta", "expires", "priority")},
    )


@cache
def _default_caller() -> str:
    """Say who this process is: ``user@host``. A claim, not a proof."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user is often in no passwd file
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
