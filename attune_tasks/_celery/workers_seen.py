"""What the workers that answer tell of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery

from attune_tasks._celery.asking_workers import ANSWER_SECONDS, ask_workers
from attune_tasks._celery.control_names import LAUNCHERS
from attune_tasks._celery.launchers_seen import SeenLauncher

__all__ = ["SeenWorker", "ask_for_launchers"]


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """One worker."""

    launchers: tuple[SeenLauncher, ...]
    credentials: tuple[str, ...]
    """Names of variables in its environment that look like credentials."""


def ask_for_launchers(app: Celery, timeout: float = ANSWER_SECONDS) -> dict[str, SeenWorker]:
    """Give the workers that answer within `timeout` seconds, by name (``name@host``)."""
    return {name: _seen(answer) for name, answer in ask_workers(app, LAUNCHERS, timeout=timeout).items()}


def _seen(answer: Any) -> SeenWorker:
    said = answer if isinstance(answer, Mapping) else {}
    launchers = [SeenLauncher.from_dict(data) for data in said.get("launchers") or ()]
    credentials = tuple(str(name) for name in said.get("credentials") or ())
    return SeenWorker(tuple(found for found in launchers if found is not None), credentials)
