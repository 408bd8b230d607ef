"""Asking all workers by a control command, and no longer than the answer takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from celery import Celery

__all__ = ["ANSWER_SECONDS", "ask_workers"]

ANSWER_SECONDS: Final = 1.0
"""For a worker's answer; on one machine it takes a few milliseconds."""


class _EnoughError(Exception):
    """The answers that came are enough."""


def ask_workers(  # noqa: PLR0913 - what an answer is waited for
    app: Celery,
    command: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    timeout: float = ANSWER_SECONDS,
    workers: Sequence[str] | None = None,
    is_enough: Callable[[Any], bool] = lambda _: False,
) -> dict[str, Any]:
    """Give by worker (``name@host``) what it answered within `timeout` seconds; errors of workers are left out.

    `workers` names those that are asked; none: all. `is_enough` is asked for each answer whether it ends the waiting.
    """
    answers: dict[str, Any] = {}
    deadline = time.monotonic() + timeout

    def take(said: Any) -> None:
        for name, answer in said.items() if isinstance(said, Mapping) else ():
            if isinstance(answer, Mapping) and "ok" in answer:
                answers[str(name)] = answer["ok"]
                if is_enough(answer["ok"]):
                    raise _EnoughError
        if time.monotonic() > deadline:
            raise _EnoughError

    with suppress(_EnoughError):
        app.control.broadcast(
            command,
            arguments=dict(arguments or {}),
            destination=None if workers is None else list(workers),
            reply=True,
            timeout=timeout,
            callback=take,
        )
    return answers
