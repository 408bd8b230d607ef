"""The surface "inspect": what the worker answers to Celery's inspect commands and to ours."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.control_names import EXECUTIONS, LAUNCHERS
from attune_tasks._celery.leaks.base import RoundsSurface
from attune_tasks.leaks import Row, Seeker, Watched

__all__ = ["InspectSurface"]

_ANSWER_SECONDS: Final = 1.0
_ROUND_SECONDS: Final = 4.0
# First those whose answers change while an execution runs.
_COMMANDS: Final = ("active", "query_task", "reserved", "scheduled", EXECUTIONS, LAUNCHERS, "stats", "revoked")
_SELDOM: Final = ("conf", "registered", "report", "active_queues")
"""What these say stays as it is."""
_DEEPEST: Final = 20


class InspectSurface(RoundsSurface):
    """Asks one worker, by a thread: each answer may take a second."""

    def __init__(self, app: Celery, seeker: Seeker, worker_name: str) -> None:
        """Ask nothing yet."""
        super().__init__("inspect", seeker)
        self._app = app
        self._worker_name = worker_name
        self._answered: set[str] = set()
        self._asked_seldom = False
        self._saw_running = False

    def begin(self) -> None:
        """Be ready to ask."""
        self._start_rounds()

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Ask for everything once more."""
        if self._end_rounds():
            self._asked_seldom = False
            self._last_round(executions)
        missing = [command for command in (*_COMMANDS, *_SELDOM) if command not in self._answered]
        if not self._answered:
            self._not_looked_at(
                f"the worker {self._worker_name} answered no inspect command within a second: is it of this broker,"
                " and not the solo pool?"
            )
        elif missing:
            self._partly(f"not answered: {', '.join(missing)}")
        if self._answered and not self._saw_running:
            self._partly("no answer came while an execution ran")
        return super().end(executions)

    def _round(self, executions: Sequence[Watched]) -> None:
        deadline = time.monotonic() + _ROUND_SECONDS
        commands = (*_COMMANDS, *(() if self._asked_seldom else _SELDOM))
        for number, command in enumerate(commands):
            arguments = {"ids": [each.task_id for each in executions]} if command == "query_task" else None
            answers: Any = self._app.control.broadcast(
                command,
                arguments=arguments,
                destination=[self._worker_name],
                reply=True,
                timeout=_ANSWER_SECONDS,
                limit=1,
            )
            if not answers:
                if number == 0 or time.monotonic() > deadline:
                    return  # it answers nothing, or not any more
                continue
            self._answered.add(command)
            found = [self._search(text, f"inspect {command}{path}") for path, text in _texts(answers)]
            if not any(found):  # in what is no text by itself, and in names
                self._search(json.dumps(answers, default=repr), f"inspect {command}")
            if command == "active" and any(each.task_id in json.dumps(answers) for each in executions):
                self._saw_running = True
        self._asked_seldom = True


def _texts(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Give the texts of an answer, and the names by which they are reached: ``, args, text``."""
    if isinstance(value, str):
        yield path, value
    elif depth < _DEEPEST and isinstance(value, Mapping):
        for name, item in value.items():
            # The first name is the worker's, on every answer the same.
            yield from _texts(item, f"{path}, {name}" if depth > 1 else path, depth + 1)
    elif depth < _DEEPEST and isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, path, depth + 1)
