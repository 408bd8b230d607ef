"""The judgement of a soak: what became of each execution, by what Redis was told and what the children noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from celery import states

from tests.append_only import all_metas
from tests.soak.pack import KINDS

__all__ = ["Ends", "Sent", "judge"]

_LOST: Final = frozenset({"worker_lost", "launcher_lost"})
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Sent:
    """One execution."""

    kind: str
    execution_id: int


@dataclass
class Ends:
    """What was found."""

    counts: Counter[str] = field(default_factory=Counter)
    """By what the table says."""
    wrong: list[str] = field(default_factory=list)
    """What must not be."""

    def blame(self, what: str, sent: Sent, detail: object) -> None:
        """Note what must not be."""
        self.counts[what] += 1
        if self.counts[what] <= _NAMED:
            self.wrong.append(f"{what}: {sent.kind} {sent.execution_id}: {detail}")


def judge(sent: Mapping[str, Sent], redis: Path, notes: Path) -> Ends:
    """Judge all executions, by their task ids; `redis` is the server's folder, `notes` the children's."""
    ends = Ends()
    written: dict[str, list[dict[str, Any]]] = {task_id: [] for task_id in sent}
    for task_id, meta in all_metas(redis):
        if task_id in written:
            written[task_id].append(_read(meta))
    for task_id, each in sent.items():
        _judge_one(ends, each, written[task_id], notes)
    return ends


def _read(meta: dict[str, Any]) -> dict[str, Any]:
    state, value = meta["status"], meta["result"]
    stored = value if isinstance(value, dict) else {}
    if state == states.FAILURE and stored.get("exc_type") == "ActionFailed":
        stored = stored["exc_message"][0]
    if state not in states.READY_STATES:
        return {"state": state}
    error = (stored.get("error") or {}).get("type") or stored.get("exc_type")
    attempt = stored.get("attempt", 0)  # none: what Celery stored by itself, which is wrong
    return {"state": state, "status": stored.get("status"), "error": error, "attempt": attempt}


def _judge_one(ends: Ends, sent: Sent, written: list[dict[str, Any]], notes: Path) -> None:
    finals = [each for each in written if each["state"] in states.READY_STATES]
    if not finals:
        ends.blame("without a final state", sent, [each["state"] for each in written])
        return
    if written.index(finals[0]) + len(finals) != len(written):
        ends.blame("final state overwritten", sent, [each["state"] for each in written])
    kinds = [each for number, each in enumerate(finals) if each not in finals[:number]]
    if len(kinds) == 2 and kinds[0]["error"] == "worker_lost":
        ends.counts["worker_lost that was replaced"] += 1
    elif len(kinds) > 1:
        ends.blame("two final states", sent, kinds)
    end = finals[-1]
    ends.counts["with exactly one final state"] += len(kinds) == 1
    kind = KINDS[sent.kind]
    lost = end["status"] == "error" and end["error"] in _LOST
    if lost and kind.may_be_lost:
        ends.counts["lost with their worker"] += 1
    elif end["status"] not in kind.ends:
        ends.blame("with a wrong final state", sent, end)
    ends.counts["attempts recorded"] += end["attempt"]
    _judge_children(ends, sent, end, lost, notes / str(sent.execution_id))


def _judge_children(ends: Ends, sent: Sent, end: dict[str, Any], lost: bool, path: Path) -> None:  # noqa: FBT001 - one caller
    started = len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0
    ends.counts["children started"] += started
    if not started and end["status"] == "succeeded":
        ends.blame("succeeded without a child", sent, end)
    elif started > end["attempt"]:
        ends.blame("more children than attempts", sent, (started, end))
    elif started < end["attempt"]:
        # Begun in Redis, and the worker was killed before the child's first line: nobody can tell.
        ends.counts["attempts whose worker was killed before the first line"] += end["attempt"] - started
        if not lost and end["attempt"] == 1:
            ends.blame("fewer children than attempts, and no worker was lost", sent, (started, end))
