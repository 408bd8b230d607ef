"""The executions that are not over yet, as the shared state has them, or without one as the workers tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from celery import Celery

from attune_tasks._celery.asking_workers import ANSWER_SECONDS, ask_workers
from attune_tasks._celery.claims.store import claim_store
from attune_tasks._celery.control_names import EXECUTIONS
from attune_tasks._celery.progress_state import PROGRESS
from attune_tasks.ids import task_id_of

__all__ = ["SeenExecution", "seen_executions"]

State = Literal["queued", "reserved", "running", "parked", "retrying"]

_STATES: Final[Mapping[str, State]] = {
    "queued": "queued",
    "claimed": "reserved",
    "begun": "running",
    "parked": "parked",
    "again": "retrying",
}


@dataclass(frozen=True, slots=True)
class SeenExecution:
    """One execution that is queued or runs."""

    execution_id: int
    task_id: str
    action_ref: str
    state: State
    """``queued``: its message waits in the broker; ``reserved``: a worker has it, and no slot is free, or its time has
    not come; ``running``; ``parked``: it waits for others, by its action's `concurrency`; ``retrying``: another attempt
    is sent."""
    age_seconds: int
    """Since the state began."""
    worker: str = ""
    """Which has it, as ``name@host``."""
    attempt: int = 1
    percent: float | None = None
    """Its progress, where its action has told any and the result backend has it."""
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it: the execution id in decimal digits."""
        return {**asdict(self), "execution_id": str(self.execution_id)}


def seen_executions(app: Celery, timeout: float = ANSWER_SECONDS) -> list[SeenExecution]:
    """Give them, the oldest first. Without a shared state, workers have `timeout` seconds to answer.

    Then nothing is known of what waits in the broker; with it, of what a client without this package has sent nothing
    is known before a worker has received it.
    """
    store = claim_store(app)
    if store is not None:
        found = [_from_record(each) for each in store.listed()]
    else:
        answers = ask_workers(app, EXECUTIONS, timeout=timeout)
        found = [seen for name, answer in answers.items() for each in answer if (seen := _from_worker(name, each))]
    return [_with_progress(app, seen) for seen in sorted(found, key=lambda seen: -seen.age_seconds)]


def _with_progress(app: Celery, seen: SeenExecution) -> SeenExecution:
    if seen.state != "running":
        return seen
    try:
        meta: Any = app.backend.get_task_meta(seen.task_id)
        told = meta["result"] if meta["status"] == PROGRESS else {}
        return replace(seen, percent=told.get("percent"), message=str(told.get("message") or ""))
    except Exception:  # noqa: BLE001 - a backend that can't be read; it is listed all the same
        return seen


def _from_record(parts: list[str]) -> SeenExecution:
    execution_id, age, state, ref, worker, attempt, noted = parts
    known = json.loads(noted) if noted.startswith("{") else {}
    return SeenExecution(
        execution_id=int(execution_id),
        task_id=known.get("task_id") or task_id_of(int(execution_id)),
        action_ref=ref or known.get("ref", ""),
        state=_STATES.get(state, "queued"),
        age_seconds=int(age) // 1000,
        worker=worker.rpartition(":")[0] if state in {"claimed", "begun"} else "",
        attempt=int(attempt),
    )


def _from_worker(name: str, said: Any) -> SeenExecution | None:
    try:
        state = said["state"]
        return SeenExecution(
            int(said["execution_id"]),
            str(said["task_id"]),
            str(said["action_ref"]),
            state if state in _STATES.values() else "reserved",
            int(said["age_seconds"]),
            name,
            int(said["attempt"]),
        )
    except (KeyError, TypeError, ValueError):  # another version's answer
        return None
