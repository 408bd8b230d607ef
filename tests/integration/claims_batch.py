"""Executions of all kinds side by side: running, queued, parked, retrying, finished, linked, chained and chorded.

A test has something befall them, and then sees that each has one final state, the right one, that its children were
started as often as attempts are recorded, and that what follows it was sent once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from celery import Celery, chain, chord, states

from attune_tasks import Handle, enqueue
from attune_tasks.tasks import run_action
from tests.append_only import ends_written, states_written
from tests.integration.claims_pack import starts
from tests.integration.workers import Place
from tests.processes import alive
from tests.redis_server import RedisServer
from tests.waiting import wait_until

__all__ = ["EXPIRY", "LOST", "SETTINGS", "SLOTS", "SUCCEEDED", "Batch", "End"]

End = tuple[str, str | None]
"""Status, and the error's type."""

SUCCEEDED: Final[End] = ("succeeded", None)
LOST: Final[End] = ("error", "worker_lost")
SLOTS: Final = 6
"""What a worker needs: all that holds runs at once, and there is one more for the rest."""
EXPIRY: Final = 4.0
"""Seconds; soon, so that a test sees it."""
SETTINGS: Final = {"ATTUNE_TASKS_CLAIMS__EXPIRY": str(EXPIRY), "ATTUNE_TASKS_GRACE": "0.5"}
"""A worker's."""
_SECONDS: Final = 60.0


@dataclass
class Batch:
    """A batch on one place, whose Redis is durable."""

    place: Place
    client: Celery
    name: str = "batch"
    handles: dict[str, Handle] = field(default_factory=dict)
    """By a name for each."""
    results: RedisServer | None = None
    """Where results are, if not where all else is."""

    def file(self, name: str) -> Path:
        """Give where the starts of one are noted."""
        return self.place.folder / f"{self.name}-{name}"

    def begin(self, *, retrying: bool = True) -> None:
        """Start one of each kind, and come back when each is where it is to be."""
        self.send("finished", "quick")
        assert self.handles["finished"].result(_SECONDS).succeeded
        self.send(
            "linked",
            "hold",
            link=self.follower("linked-ok"),
            link_error=self.follower("linked-error"),
        )
        self.send("again", "again")
        self.send("single", "single")
        wait_until(lambda: starts(self.file("single")), "the one with a ticket runs", _SECONDS)
        self.send("parked", "single")
        chained: Any = chain(self.signature("chained", "hold"), self.follower("chained-ok")).apply_async(
            link_error=self.follower("chained-error")
        )
        self.add("chained", chained.parent)
        members = [self.signature("member", "again"), self.signature("other", "quick")]
        chorded: Any = chord(members, self.follower("body")).apply_async()
        for name, result in zip(("member", "other"), chorded.parent.results, strict=True):
            self.add(name, result)
        self.add("body", chorded)
        for name in ("linked", "again", "chained", "member"):
            wait_until(partial(starts, self.file(name)), f"{name} runs", _SECONDS)
        wait_until(lambda: self.state_of("parked") == "parked", "the one without a ticket is parked", _SECONDS)
        if retrying:
            self.begin_retrying()

    def begin_retrying(self) -> None:
        """Start one that fails, and come back when it waits for its next attempt: for six seconds."""
        self.send("retrying", "retrying")
        wait_until(lambda: starts(self.file("retrying")), "the one that fails runs", _SECONDS)
        wait_until(lambda: self.state_of("retrying") not in {"", "begun"}, "it waits", _SECONDS)

    def assert_retry_waits(self) -> None:
        """See that the one that fails has had one attempt, and that its next one has not begun."""
        assert starts(self.file("retrying")) == 1
        assert self.state_of("retrying") in {"again", "claimed"}
        assert self.celery_state("retrying") == states.RETRY

    def queue(self) -> None:
        """Send more than there are slots for, and come back when each is claimed, or in the queue to stay.

        On its way from Redis to a worker a message is nowhere, and lost with either of them.
        """
        names = [f"queued-{number}" for number in range(4)]
        for name in names:
            self.send(name, "hold")
        for _ in range(2):
            wait_until(lambda: self._at_rest(names), "all are claimed, or stay in the queue", _SECONDS)
            time.sleep(0.3)  # in which a worker that wants another one would take it

    def send(self, name: str, action: str, **options: Any) -> None:
        """Start one more."""
        if options:
            self.add(name, self.signature(name, action).apply_async(**options))
        else:
            parameters = {"file": str(self.file(name))}
            self.handles[name] = enqueue(f"claims.{action}", parameters, app=self.client)

    def follower(self, name: str) -> Any:
        """Give a signature of what may follow another."""
        return self.signature(name, "quick")

    def signature(self, name: str, action: str) -> Any:
        """Give a signature of an action that notes its starts under this name."""
        return self.client.tasks[run_action.name].si(f"claims.{action}", {"file": str(self.file(name))})

    def add(self, name: str, result: Any) -> None:
        """Have one judged that was sent otherwise."""
        self.handles[name] = Handle(result)

    def release(self, names: Collection[str] | None = None) -> None:
        """Let those end that hold."""
        for name in self.handles if names is None else names:
            self.file(f"{name}.go").touch()

    def check(
        self,
        ends: Mapping[str, End] | None = None,
        followed: Mapping[str, int] | None = None,
        *,
        seconds: float = _SECONDS,
        replaced: Collection[str] = (),
        childless: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """See that all is as it must be: those not named in `ends` have succeeded, and what follows them was sent.

        `followed` says how often what follows has run, where that is another number; `replaced` names those whose
        worker_lost gave way to their real result; `childless` says how many children those have had of which some
        attempts had none.
        """
        found = {name: handle.result(seconds) for name, handle in self.handles.items()}
        for name in replaced:
            wait_until(partial(self._has_succeeded, name), f"{name}, late", seconds)
            late = self._anew(name)
            assert late.status() == "succeeded"  # reads the backend; the first end's message waits in this process, too
            found[name] = late.result(1)
        told = {name: (end.status, end.error["type"] if end.error else None) for name, end in found.items()}
        wrong = {name: end for name, end in told.items() if end != (ends or {}).get(name, SUCCEEDED)}
        assert not wrong, wrong
        runs = {"linked-ok": 1, "linked-error": 0, "chained-ok": 1, "chained-error": 0} if "linked" in found else {}
        for name, count in {**runs, **(followed or {})}.items():
            wait_until(partial(self._has_started, name, count), f"{name}, {count} times", seconds)
        wait_until(lambda: not self.unsettled(), f"all is told, of {list(found)}", seconds)
        started = {name: (starts(self.file(name)), end.attempt) for name, end in found.items()}
        uneven = {name: pair for name, pair in started.items() if name not in childless and pair[0] != pair[1]}
        assert not uneven, f"children started, and attempts recorded: {uneven}"
        for name, count in childless.items():
            assert started[name][0] == count < started[name][1], (name, started[name])
        for name, count in {**runs, **(followed or {})}.items():
            assert starts(self.file(name)) == count, name
        for name, handle in self.handles.items():
            self._assert_one_end(name, handle, may_change=name in replaced)

    def state_of(self, name: str) -> str:
        """Give where the record of one stands; empty where it has none yet."""
        return self.record_of(name).get("state", "")

    def attempt_of(self, name: str) -> int:
        """Give the attempt that the record of one is of, or the one that is to follow; 0 where there is none."""
        return int(self.record_of(name).get("attempt", 0))

    def record_of(self, name: str) -> dict[str, str]:
        """Give the record of one."""
        assert self.place.redis
        with self.place.redis.client(self.place.database) as redis:
            found: Any = redis.hgetall(f"attune:{{attune_tasks}}:claim:{self.handles[name].execution_id}")
        return {key.decode(): value.decode() for key, value in found.items()}

    def is_running(self, name: str) -> bool:
        """Say whether the child that was started last of one is there."""
        return alive(int(self.file(name).read_text(encoding="utf-8").split()[-1]))

    def celery_state(self, name: str) -> str:
        """Give what Celery has stored of one."""
        return str(self.client.backend.get_state(self.handles[name].task_id))

    def unsettled(self) -> list[str]:
        """Name what stands in Redis besides results and final records."""
        assert self.place.redis
        with self.place.redis.client(self.place.database) as redis:
            kinds = ("claims", "queued", "tickets:*", "parked:*")
            return [key.decode() for kind in kinds for key in redis.scan_iter(f"attune:{{attune_tasks}}:{kind}")]

    def _at_rest(self, names: Collection[str]) -> bool:
        assert self.place.redis
        with self.place.redis.client(self.place.database) as redis:
            return len([name for name in names if self.state_of(name)]) + int(redis.llen("celery")) == len(names)

    def _has_succeeded(self, name: str) -> bool:
        return self._anew(name).status() == "succeeded"

    def _anew(self, name: str) -> Handle:
        return Handle.from_task_id(self.handles[name].task_id, self.client)  # one that has an end keeps it

    def _has_started(self, name: str, times: int) -> bool:
        return starts(self.file(name)) >= times

    def _assert_one_end(self, name: str, handle: Handle, *, may_change: bool) -> None:
        server = self.results or self.place.redis
        assert server
        written = states_written(server.folder, handle.task_id)
        first = next(place for place, state in enumerate(written) if state in states.READY_STATES)
        assert set(written[first:]) <= states.READY_STATES, (name, written)  # nothing else after it
        ends = ends_written(server.folder, handle.task_id)
        kinds = [each for place, each in enumerate(ends) if each not in ends[:place]]
        if may_change:
            assert kinds[0]["error"] == "worker_lost", (name, ends)
            kinds.pop(0)
        assert len(kinds) == 1, (name, ends)
