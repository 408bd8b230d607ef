"""The judgement of a soak: what became of each execution, by what Redis was told and what the children noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from celery import states

from tests.append_only import all_metas, read_end
from tests.soak.begun import Begun, attempts_begun
from tests.soak.chaos import Kill
from tests.soak.overlap import most_at_once
from tests.soak.pack import KINDS, LIMIT, LIMITED_FILE

__all__ = ["MOST_AT_ONCE", "UNTOLD", "Ends", "Sent", "judge"]

MOST_AT_ONCE: Final = f"executions of limited at once, of {LIMIT} that may"
UNTOLD: Final = "attempts whose worker was killed before the first line"
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
    replaced: set[int] = field(default_factory=set)
    """Executions whose worker_lost gave way to their real result: they ran on without their ticket."""

    def blame(self, what: str, sent: Sent, detail: object) -> None:
        """Note what must not be."""
        self.counts[what] += 1
        if self.counts[what] <= _NAMED:
            self.wrong.append(f"{what}: {sent.kind} {sent.execution_id}: {detail}")


def judge(sent: Mapping[str, Sent], redis: Path, notes: Path, kills: Collection[Kill] = ()) -> Ends:
    """Judge all executions, by their task ids; `redis` is the server's folder, `notes` the children's."""
    ends = Ends()
    written: dict[str, list[dict[str, Any]]] = {task_id: [] for task_id in sent}
    for task_id, meta in all_metas(redis):
        if task_id in written:
            written[task_id].append(read_end(meta))
    begun = attempts_begun(redis)
    for task_id, each in sent.items():
        end = _judge_one(ends, each, written[task_id])
        if end is not None:
            _judge_children(ends, each, end, begun.get(each.execution_id, {}), (notes, kills))
    most = most_at_once(notes / LIMITED_FILE, ends.replaced)
    ends.counts[MOST_AT_ONCE] = most
    if most > LIMIT:
        ends.wrong.append(f"{most} executions of limited ran at once, and {LIMIT} may")
    return ends


def _judge_one(ends: Ends, sent: Sent, written: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Judge what was stored of one; give its end."""
    finals = [each for each in written if each["state"] in states.READY_STATES]
    if not finals:
        ends.blame("without a final state", sent, [each["state"] for each in written])
        return None
    if written.index(finals[0]) + len(finals) != len(written):
        ends.blame("final state overwritten", sent, [each["state"] for each in written])
    kinds = [each for number, each in enumerate(finals) if each not in finals[:number]]
    if len(kinds) == 2 and kinds[0]["error"] == "worker_lost":
        ends.counts["worker_lost that was replaced"] += 1
        ends.replaced.add(sent.execution_id)
    elif len(kinds) > 1:
        ends.blame("two final states", sent, kinds)
    end = finals[-1]
    ends.counts["with exactly one final state"] += len(kinds) == 1
    kind = KINDS[sent.kind]
    if _is_lost(end) and kind.may_be_lost:
        ends.counts["lost with their worker"] += 1
    elif end["status"] not in kind.ends:
        ends.blame("with a wrong final state", sent, end)
    return end


def _is_lost(end: dict[str, Any]) -> bool:
    return end["status"] == "error" and end["error"] in _LOST


def _judge_children(
    ends: Ends, sent: Sent, end: dict[str, Any], begun: Mapping[int, Begun], seen: tuple[Path, Collection[Kill]]
) -> None:
    """Judge whether as many children were started as attempts are recorded; `seen`: the notes, and who was killed."""
    notes, kills = seen
    path = notes / str(sent.execution_id)
    started = len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0
    ends.counts["attempts recorded"] += end["attempt"]
    ends.counts["children started"] += started
    if sorted(begun) != list(range(1, end["attempt"] + 1)):
        ends.blame("attempts that are not those which were begun", sent, (sorted(begun), end))
    untold = sum(each.may_have_no_child(kills) for each in begun.values())
    if not started and end["status"] == "succeeded":
        ends.blame("succeeded without a child", sent, end)
    elif started > end["attempt"]:
        ends.blame("more children than attempts", sent, (started, end))
    elif started < end["attempt"] - untold:
        ends.blame("fewer children than attempts", sent, (started, end, begun))
    else:
        # Begun in Redis, and the worker was killed just then: whether the child came to its first line nobody can tell.
        ends.counts[UNTOLD] += end["attempt"] - started
