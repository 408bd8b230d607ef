"""The records of claims in Redis. Each method is one script there: one step for all who look, one round trip."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

from celery import Celery

from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.result_expiry import kept_seconds
from attune_tasks._celery.shared_state import SharedState, shared_state
from attune_tasks.ids import execution_id_of

__all__ = [
    "REAPED_AT_ONCE",
    "Answer",
    "ClaimStore",
    "Due",
    "End",
    "StoredState",
    "Ticket",
    "Unclaimed",
    "claim_store",
    "record_store",
]

Answer = Literal["claimed", "held", "expired", "old", "final"]
Taken = Literal["taken", "parked", "conflict", "lost"]
Verdict = Literal["first", "replaced", "no"]

_SCRIPTS: Final = Path(__file__).parent / "scripts"
REAPED_AT_ONCE: Final = 100
_LISTED_AT_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an execution needs one of, where its action says `concurrency`."""

    name: str
    limit: int
    on_conflict: Literal["queue", "fail"]


@dataclass(frozen=True, slots=True)
class End:
    """A final state, as it is written to a record."""

    execution_id: int
    task_id: str
    ref: str
    attempt: int
    status: str
    """What the record is found by: the execution's status, the type of its error where that is ``error``."""
    outcome: str
    """Celery's state and the result, as JSON: for whoever stores it in place of a lost worker."""

    @classmethod
    def of(cls, task_id: str, state: str, result: Mapping[str, Any]) -> Self:
        """Make it of Celery's state and ``ExecutionResult.to_dict()``."""
        error = result.get("error")
        return cls(
            execution_id=execution_id_of(task_id),
            task_id=task_id,
            ref=str(result["action_ref"]),
            attempt=int(result.get("attempt") or 1),
            status=error["type"] if result["status"] == "error" and error else str(result["status"]),
            outcome=json.dumps({"state": state, "result": result}),
        )


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done of an execution."""

    word: Literal["again", "lost", "deliver"]
    execution_id: int
    attempt: int
    message: str
    """As :class:`~attune_tasks._celery.claims.message.StoredMessage` writes it; empty where there is none."""
    outcome: str = ""
    task_id: str = ""
    ref: str = ""


class StoredState(NamedTuple):
    """One of Celery's states, as its result backend stores it in the same Redis."""

    key: str
    meta: Any
    seconds: int
    """Until it expires; 0: never."""


class Unclaimed(NamedTuple):
    """An execution whose message nobody has received, as far as is known."""

    execution_id: int
    attempt: int
    message: str
    """As :meth:`StoredMessage.to_json` writes it."""
    since: float
    """When it was queued, in ms by the server's clock."""


class ClaimStore:
    """The claims of one app. Not for two threads at once; raises what the client raises."""

    def __init__(self, state: SharedState, expiry: float, kept_seconds: float) -> None:
        """Use `state`; claims expire after `expiry` seconds without renewal, final records after `kept_seconds`."""
        self.state = state
        self.expiry = expiry
        self._ttl = round(expiry * 1000)
        self._kept = max(1, int(kept_seconds))
        # How long what was decided may take to be published or stored before a reaper takes it up again.
        self._patience = self._ttl

    def note(  # noqa: PLR0913 - one note
        self,
        execution_id: int,
        what: str,
        seconds: float,
        *,
        listed: bool,
        message: str = "",
        delay: float = 0.0,
    ) -> bool:
        """Note a new execution for so many seconds, with `what` is known of it; give whether its id was free.

        `what` is another one for each call: by it a call knows its own note again.
        `listed`: as one that waits, until somebody claims it. `message`: what a reaper is to send again where nobody
        does, after `delay` seconds and the time in which a claim expires.
        """
        late = round(delay * 1000) + self._patience
        return bool(self._run("note", execution_id, what, int(seconds), int(listed), message, late))

    def forget(self, execution_id: int, what: str) -> None:
        """Forget an execution that was noted as `what` and could not be sent; another caller's note stays."""
        self._run("forget", execution_id, what)

    def listed(self) -> list[list[str]]:
        """Give executions that are not over, at most a thousand that are claimed and as many that wait."""
        found = self._run("list", "", _LISTED_AT_MOST)
        return [[part.decode() if isinstance(part, bytes) else str(part) for part in each] for each in found]

    def claim(  # noqa: PLR0913 - one record
        self,
        execution_id: int,
        token: str,
        attempt: int,
        *,
        worker: str,
        is_free_here: bool,
        record: Mapping[str, str | int],
    ) -> Answer:
        """Claim an attempt of an execution; `record` is what a reaper needs: task_id, ref, attempts, message."""
        fields = [part for pair in record.items() for part in pair]
        answer = self._run("claim", execution_id, token, attempt, self._ttl, worker, int(is_free_here), *fields)
        return answer.decode()  # type: ignore[no-any-return]

    def take_ticket(self, execution_id: int, token: str, ticket: Ticket, expires_in: float | None = None) -> Taken:
        """Take a ticket for a claimed execution, or have it wait for one, at most for so many seconds."""
        until = "" if expires_in is None else max(1000, round(expires_in * 1000))
        answer = self._run("take_ticket", execution_id, token, ticket.name, ticket.limit, ticket.on_conflict, until)
        return answer.decode()  # type: ignore[no-any-return]

    def begin(self, execution_id: int, token: str, meta: StoredState | None) -> bool:
        """Begin a claimed attempt, and store STARTED in the same step."""
        return bool(self._run("begin", execution_id, token, self._ttl, *_meta(meta), more_keys=_meta_key(meta)))

    def renew(self, claims: Mapping[int, str]) -> set[int]:
        """Put off the expiry of claims, tokens by execution id; give those which are another's by now."""
        pairs = [part for pair in claims.items() for part in pair]
        return {int(each) for each in self._run("renew", "", self._ttl, *pairs)}

    def finish(self, end: End, token: str, *, only_waiting: bool = False) -> tuple[Verdict, Due | None]:
        """Write the final state, once; give whether it counts, and what is to be published next.

        `token` is empty for what was not claimed. `only_waiting`: only of what waits for a ticket or its next attempt.
        """
        given = (token, end.status, end.outcome, self._kept, self._patience, int(only_waiting))
        verdict, *parked = self._run("finish", end.execution_id, *given, end.task_id, end.ref, end.attempt)
        return verdict.decode(), _parked(parked)

    def read(self, execution_id: int, *names: str) -> list[str]:
        """Give fields of a record, each empty where there is none."""
        found = self.state.client.hmget(self.state.key("claim", execution_id), names)
        return [each.decode() if each is not None else "" for each in found]

    def again(
        self, execution_id: int, token: str, attempt: int, meta: StoredState | None = None
    ) -> tuple[str | None, Due | None]:
        """Have attempt `attempt` follow the one that `token` claimed, and store RETRY in the same step.

        Give its message, None: the claim is another's; then what is to be published besides.
        """
        given = (token, attempt, self._patience, *_meta(meta))
        still_ours, *rest = self._run("again", execution_id, *given, more_keys=_meta_key(meta))
        if not still_ours:
            return None, None
        return (rest[0] or b"").decode(), _parked(rest[1:])

    def published(self, execution_id: int, attempt: int, delay: float = 0.0) -> None:
        """Note that the message of an attempt is with the broker, to be claimed in `delay` seconds at the earliest."""
        self._run("published", execution_id, attempt, self._kept, round(delay * 1000) + self._patience)

    def unclaimed(self) -> list[Unclaimed]:
        """Give executions that nobody has claimed in time, at most a hundred; each comes up again later and later."""
        found = self._run("unclaimed", "", REAPED_AT_ONCE, self._patience)
        return [Unclaimed(int(each[0]), int(each[1]), each[2].decode(), float(each[3])) for each in found]

    def queued_since(self, execution_id: int) -> float | None:
        """Give since when an execution waits to be claimed, in ms by the server's clock; None: it does not."""
        since: float | None = self.state.client.zscore(self.state.key("queued"), execution_id)
        return since

    def withdraw(self, execution_id: int, token: str) -> tuple[str | None, Due | None]:
        """Give up a claim that was not begun; give its message, None: it is another's, and what is to be published."""
        still_ours, *rest = self._run("withdraw", execution_id, token, self._patience)
        if not still_ours:
            return None, None
        return (rest[0] or b"").decode(), _parked(rest[1:])

    def delivered(self, execution_ids: Iterable[int]) -> None:
        """Note that results are stored, and what follows them is sent."""
        self._run("delivered", "", self._kept, *execution_ids)

    def reap(self, execution_id: int | None = None) -> list[Due]:
        """Look after what is due: all, or one execution."""
        only = "" if execution_id is None else execution_id
        found = self._run("reap", only, REAPED_AT_ONCE, self._patience, self._kept)
        return [_due([part.decode() if isinstance(part, bytes) else part or "" for part in each]) for each in found]

    def _run(self, name: str, execution_id: object, *arguments: Any, more_keys: Sequence[str] = ()) -> Any:
        client = self.state.client
        keys = [self.state.key("claims"), *more_keys]
        script = client.register_script(_text(name))
        return script(keys=keys, args=[self.state.prefix, execution_id, *arguments])


def claim_store(app: Celery) -> ClaimStore | None:
    """Give the claims of `app`; None where its executions have none. Ask anew in each process and thread."""
    return record_store(app) if state_of(app).loaded.settings.claims.enabled else None


def record_store(app: Celery) -> ClaimStore | None:
    """Give where executions are noted and listed, claimed or not; None where they share no state."""
    state = shared_state(app)
    if state is None:
        return None
    return ClaimStore(state, state_of(app).loaded.settings.claims.expiry, kept_seconds(app))


def _meta(stored: StoredState | None) -> tuple[Any, int]:
    return (stored.meta, stored.seconds) if stored else ("", 0)


def _meta_key(stored: StoredState | None) -> list[str]:
    return [stored.key] if stored else []


def _due(parts: Sequence[Any]) -> Due:
    word, execution_id, attempt, message, outcome, task_id, ref = parts
    return Due(word, int(execution_id), int(attempt or 1), message, outcome, task_id, ref)


def _parked(parts: Sequence[Any]) -> Due | None:
    if not parts or not parts[0]:
        return None
    execution_id, attempt, message = parts[0]
    return Due("again", int(execution_id), int(attempt), (message or b"").decode())


@cache
def _text(name: str) -> str:
    return (_SCRIPTS / "prelude.lua").read_text() + (_SCRIPTS / f"{name}.lua").read_text()
