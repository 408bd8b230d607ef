"""Where tests catch what is enqueued. :mod:`attune_tasks.testing` is the face of this."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NoReturn

from celery import states
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import EagerResult

from attune_tasks.errors import ActionFailed
from attune_tasks.ids import execution_id_of
from attune_tasks.result import ExecutionResult, Status

__all__ = ["Answer", "CapturedResult", "Enqueued", "capture", "catches", "start", "stop"]


@dataclass(frozen=True, slots=True)
class Enqueued:
    """One call that would have been sent."""

    action_ref: str
    parameters: Mapping[str, Any]
    env: Mapping[str, str]
    timeout: float | None
    queue: str | None
    """None: Celery's own routing decides."""
    task_id: str
    execution_id: int
    caller: str
    countdown: float | None = None
    eta: datetime | None = None
    expires: float | datetime | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How the executions of one action end in a test."""

    action_ref: str
    status: Status
    fields: Mapping[str, Any] = field(default_factory=dict)

    def to_result(self, task_id: str) -> CapturedResult:
        """Give what the backend would have for this task id."""
        execution_id = execution_id_of(task_id)
        data = ExecutionResult(execution_id, self.action_ref, self.status, **self.fields).to_dict()
        if self.status == "succeeded":
            return CapturedResult(task_id, data, states.SUCCESS)
        return CapturedResult(task_id, ActionFailed(data), states.FAILURE)


class CapturedResult(EagerResult[Any]):
    """The AsyncResult of a call that was caught."""

    def ready(self) -> bool:
        """Say whether it has an answer."""
        return bool(self.state in states.READY_STATES)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        """Give the answer at once; nothing will ever come where there is none."""
        return super().get(*args, **kwargs) if self.ready() else self._refuse()

    def _refuse(self) -> NoReturn:
        msg = "this call was captured, not run: give it an answer by attune_tasks.testing.fake_result()"
        raise CeleryTimeoutError(msg)


_lock: Final = threading.RLock()
_active: Final[list[list[Enqueued] | Answer]] = []


def start(catcher: list[Enqueued] | Answer) -> None:
    """Catch into a list, or answer, from now on and in every thread."""
    with _lock:
        _active.append(catcher)


def stop(catcher: list[Enqueued] | Answer) -> None:
    """End what :func:`start` began."""
    with _lock:
        # By identity, from the end: two empty lists are equal.
        index = next(index for index in reversed(range(len(_active))) if _active[index] is catcher)
        del _active[index]


def catches(action_ref: str) -> bool:
    """Say whether a call of this action would be caught."""
    with _lock:
        return any(isinstance(catcher, list) or catcher.action_ref == action_ref for catcher in _active)


def capture(call: Enqueued) -> CapturedResult | None:
    """Catch one call: it goes into the innermost list, and gets the innermost answer. None where nothing catches."""
    with _lock:
        lists = [catcher for catcher in _active if isinstance(catcher, list)]
        answers = [
            catcher for catcher in _active if isinstance(catcher, Answer) and catcher.action_ref == call.action_ref
        ]
        if lists:
            lists[-1].append(call)
    if answers:
        return answers[-1].to_result(call.task_id)
    return CapturedResult(call.task_id, None, states.PENDING) if lists else None
