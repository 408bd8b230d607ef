"""Those who are told of executions as they go by, as a web framework's records. None may be in an execution's way."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from celery import Celery

if TYPE_CHECKING:
    from attune_tasks._celery.capturing import Enqueued

__all__ = ["Begun", "Observer", "observe", "stop_observing", "tell"]

logger: Final = logging.getLogger("attune_tasks.observers")


@dataclass(frozen=True, slots=True)
class Begun:
    """One attempt of an execution, as its worker begins it."""

    execution_id: int
    task_id: str
    action_ref: str
    parameters: Mapping[str, Any]
    env: Mapping[str, Any]
    timeout: float | None
    caller: str
    at: datetime
    attempt: int


class Observer:
    """What can be told. Each call comes in the execution's own thread, so it must hand on and return at once."""

    def enqueued(self, app: Celery, sent: Enqueued) -> None:
        """Hear of a message that was sent. It may have been taken by a worker already."""

    def begun(self, app: Celery, begun: Begun) -> None:
        """Hear of an attempt that begins."""

    def ended(self, app: Celery, data: Mapping[str, Any]) -> None:
        """Hear of a final end, by what ``ExecutionResult.to_dict()`` gives, masked and bounded.

        Not of those which only a worker's main process sees, as those of a lost process: the result backend has them.
        """

    def closing(self) -> None:
        """Hear that this process ends."""


_observers: Final[list[Observer]] = []


def observe(observer: Observer) -> None:
    """Have `observer` told from now on; once, however often this is called."""
    if observer not in _observers:
        _observers.append(observer)


def stop_observing(observer: Observer) -> None:
    """Have `observer` told no more."""
    if observer in _observers:
        _observers.remove(observer)


def tell(what: str, *arguments: Any) -> None:
    """Call the method `what` of every observer. Raises nothing."""
    for observer in _observers:
        try:
            getattr(observer, what)(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may quote a secret of the database
            logger.warning("%s is not told of what was %s: %s", type(observer).__name__, what, type(error).__name__)
