"""Doing something in a thread, and waiting no longer for it than one wants to: some clients have no time-outs."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any, TypeVar, cast

from attune_tasks.quiet_threads import start_quiet_thread

__all__ = ["in_time", "say"]

Value = TypeVar("Value")


def say(error: BaseException) -> str:
    """Name an error by its type: texts of clients quote URLs, with their passwords."""
    return type(error).__name__


def in_time(work: Callable[[], Value], seconds: float) -> Value:
    """Give what `work` gives, and raise what it raises; TimeoutError after so many seconds, while it goes on."""
    answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((True, work()))
        except Exception as error:  # noqa: BLE001 - raised again by who waits
            answers.put((False, error))

    start_quiet_thread(run, "attune-leaks-in-time")
    try:
        is_done, answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if not is_done:
        raise answer
    return cast(Value, answer)
