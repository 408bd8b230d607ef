"""One soak: sends executions, has workers killed and Redis restarted meanwhile, and looks at what is left."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from attune_tasks import enqueue
from attune_tasks.errors import ExecutionExistsError
from attune_tasks.ids import new_execution_id, task_id_of
from tests.acceptance.left import users_of
from tests.celery_worker import CeleryWorker
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.soak.chaos import BY_ITSELF, Chaos
from tests.soak.ends import MOST_AT_ONCE, UNTOLD, Ends, Sent, judge
from tests.soak.memory import Memory
from tests.soak.pack import KINDS, write_soak_pack

__all__ = ["Soak", "Table"]

EXPIRY: Final = 6.0
_WINDOW: Final = 80
"""Executions that wait or run at once."""
_LOOK: Final = 0.3
_SAMPLE: Final = 2.0
_DRAIN: Final = 90.0
_SETTLE: Final = 30.0
_VISIBILITY: Final = 5
"""Seconds; so short that what a killed worker had reserved is delivered again, most of it while it is claimed."""


@dataclass
class Table:
    """What is told at the end."""

    rows: list[tuple[str, object]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Write it down."""
        width = max(len(name) for name, _ in self.rows)
        lines = [f"{name:{width}}  {value}" for name, value in self.rows]
        return "\n".join([*lines, *(f"WRONG: {each}" for each in self.wrong)])

    def want(self, name: str, value: int, wanted: int) -> None:
        """Add a row, and say so where the value is not the wanted one."""
        self.rows.append((name, value))
        if value != wanted:
            self.wrong.append(f"{name}: {value}, not {wanted}")


class Soak:
    """Bounded in number, by `executions`, and in time: `seconds` for sending them, and two minutes and a half more."""

    def __init__(self, folder: Path, executions: int, seconds: float, pause: float) -> None:
        """Make the folder, start nothing; `pause` is what lies between one kill and the next."""
        self._redis = RedisServer(folder, durable=True)
        self._executions = executions
        self._seconds = seconds
        self._pause = pause
        self._folder = folder
        self._notes = folder / "notes"
        self._temp = folder / "tmp"
        self._sent: dict[str, Sent] = {}
        self._open: set[str] = set()
        self._unsure = 0
        for each in (self._notes, self._temp):
            each.mkdir()

    def run(self) -> Table:
        """Do it all; give the table."""
        started = time.monotonic()
        self._redis.start()
        try:
            place = make_place(self._folder, self._redis)
            write_soak_pack(place.packs)
            table = self._run(place)
        finally:
            self._redis.stop()
        table.rows.append(("seconds in all", round(time.monotonic() - started)))
        return table

    def _run(self, place: Place) -> Table:
        with ExitStack() as stack:
            steady = self._worker(stack, place, "steady", "prefork", 2)
            killed = [self._worker(stack, place, name, name, 3) for name in ("prefork", "threads")]
            memory = Memory(steady.process.pid)
            chaos = Chaos(dict(zip(("prefork", "threads"), killed, strict=True)), self._redis, self._pause)
            stack.callback(chaos.stop)
            chaos.start()
            self._send_all(place, chaos, memory)
            chaos.stop()
            self._wait_for_ends(place, chaos, memory, _DRAIN)
            self._settle(place)
            for each in (steady, *killed):
                chaos.note_end(each)
        with ExitStack() as stack:  # takes what a killed worker had reserved from the broker, and drops it
            self._worker(stack, place, "last", "threads", 1)
            self._settle(place)
        return self._table(place, chaos, memory)

    def _worker(self, stack: ExitStack, place: Place, name: str, pool: str, slots: int) -> CeleryWorker:
        config = self._folder / "attune-tasks.toml"
        config.touch(mode=0o600)
        # The lock under which kombu delivers again, too: who is killed with it keeps it, for five minutes by default.
        options = f"visibility_timeout = {_VISIBILITY}\nunacked_mutex_expire = {_VISIBILITY}\n"
        config.write_text(f"[celery.broker_transport_options]\n{options}", encoding="utf-8")
        environ = {
            "ATTUNE_TASKS_CONFIG": str(config),
            "ATTUNE_TASKS_CLAIMS__EXPIRY": str(EXPIRY),
            "ATTUNE_TASKS_GRACE": "1",
            "TMPDIR": str(self._temp),
        }
        arguments = ("-P", pool, "-c", str(slots), "-n", f"{name}@soak", "-l", "INFO")
        return stack.enter_context(worker(place, *arguments, environ=environ, log=f"{name}.log"))

    def _send_all(self, place: Place, chaos: Chaos, memory: Memory) -> None:
        client = place.client()
        client.main = "attune_tasks"
        kinds = [name for name, kind in KINDS.items() for _ in range(kind.share)]
        random.Random(7).shuffle(kinds)  # noqa: S311 - the same each time
        ends = time.monotonic() + self._seconds
        looked = sampled = 0.0
        for kind in itertools.islice(itertools.cycle(kinds), self._executions):
            while len(self._open) >= _WINDOW and time.monotonic() < ends:
                time.sleep(_LOOK / 10)
                if time.monotonic() - looked > _LOOK:
                    looked = time.monotonic()
                    self._look(place, chaos)
                if time.monotonic() - sampled > _SAMPLE:
                    sampled = time.monotonic()
                    memory.sample()
            if time.monotonic() > ends or chaos.failure:
                return  # the table says how many were sent
            with chaos.quiet:
                self._send(client, kind)

    def _send(self, client: Any, kind: str) -> None:
        execution_id = new_execution_id()
        try:
            enqueue(f"soak.{kind}", {"folder": str(self._notes)}, execution_id=execution_id, app=client)
        except ExecutionExistsError:
            self._unsure += 1
            return
        self._sent[task_id_of(execution_id)] = Sent(kind, execution_id)
        self._open.add(task_id_of(execution_id))

    def _look(self, place: Place, chaos: Chaos) -> None:
        with chaos.quiet, self._redis.client(place.database) as redis:
            names = list(self._open)
            for task_id, meta in zip(names, redis.mget([f"celery-task-meta-{name}" for name in names]), strict=True):
                if meta and any(f'"status": "{state}"'.encode() in meta for state in ("SUCCESS", "FAILURE", "REVOKED")):
                    self._open.discard(task_id)

    def _wait_for_ends(self, place: Place, chaos: Chaos, memory: Memory, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._open and time.monotonic() < deadline:
            self._look(place, chaos)
            memory.sample()
            time.sleep(_LOOK)

    def _settle(self, place: Place) -> None:
        deadline = time.monotonic() + _SETTLE
        while (self._keys_left(place) or self._entries_left(place)) and time.monotonic() < deadline:
            time.sleep(_LOOK)

    def _sent_again(self) -> int:
        """Count what a reaper took for lost on its way from Redis to a worker."""
        logs = [path.read_text(encoding="utf-8", errors="replace") for path in self._folder.glob("*.log")]
        return sum(log.count("is sent again: its message got lost") for log in logs)

    def _keys_left(self, place: Place) -> list[str]:
        """Name what should not be there; what has an end of its time may be."""
        with self._redis.client(place.database) as redis:
            keys = [key for key in redis.scan_iter(count=1000) if not key.startswith(b"_kombu.binding")]
            pipeline = redis.pipeline(transaction=False)
            for key in keys:
                pipeline.ttl(key)
            return [key.decode() for key, ttl in zip(keys, pipeline.execute(), strict=True) if ttl == -1]

    def _entries_left(self, place: Place) -> list[str]:
        """Name what is kept for sending messages again, or for listing what waits: all executions have ended."""
        prefix = "attune:{attune_tasks}:"
        with self._redis.client(place.database) as redis:
            messages: Any = [key.decode() for key in redis.scan_iter(f"{prefix}message:*", count=1000)]
            sets = {name: redis.zrange(f"{prefix}{name}", 0, -1) for name in ("queued", "unclaimed")}
        return [*messages, *(f"{name}: {each.decode()}" for name, members in sets.items() for each in members)]

    def _table(self, place: Place, chaos: Chaos, memory: Memory) -> Table:
        ends = judge(self._sent, self._redis.folder, self._notes, chaos.kills)
        table = Table(wrong=[*ends.wrong])
        kinds = Counter(each.kind for each in self._sent.values())
        table.want("executions sent", len(self._sent) + self._unsure, self._executions)
        table.rows.append(("of each kind", ", ".join(f"{n} {k}" for k, n in kinds.items())))
        by_itself = chaos.counts.pop(BY_ITSELF)
        table.rows += sorted(chaos.counts.items())
        table.want(BY_ITSELF, by_itself, 0)
        self._add_ends(table, ends)
        table.rows.append(("messages sent again, for their first got lost", self._sent_again()))
        left = self._keys_left(place)
        tickets = [key for key in left if ":tickets:" in key or ":parked:" in key]
        table.want("tickets and parked records left", len(tickets), 0)
        table.want("other keys left", len(left) - len(tickets), 0)
        table.wrong += left[:5]
        entries = self._entries_left(place)
        table.want("entries left of executions that wait", len(entries), 0)
        table.wrong += entries[:5]
        processes = [each.describe() for each in users_of([self._folder]) if each.pid != self._redis.pid]
        table.want("processes left", len(processes), 0)
        table.wrong += processes[:5]
        # Celery's pool makes one that begins with pymp-, and leaves it where it is killed.
        folders = [path.name for path in self._temp.iterdir() if not path.name.startswith("pymp-")]
        table.want("temporary folders left", len(folders), 0)
        for kind, (before, after, is_flat) in sorted(memory.judged().items()):
            table.rows.append((f"memory of the {kind}, MiB", f"{before:.1f} before, {after:.1f} after"))
            if not is_flat:
                table.wrong.append(f"memory of the {kind} grew from {before:.1f} to {after:.1f} MiB")
        for kind, count in memory.unjudged().items():
            table.rows.append((f"memory of the {kind}", f"not judged: {count} samples are too few"))
        return table

    def _add_ends(self, table: Table, ends: Ends) -> None:
        one, replaced = ends.counts["with exactly one final state"], ends.counts["worker_lost that was replaced"]
        table.want("with exactly one final state", one, len(self._sent) - replaced)
        shown = ("lost with their worker", "worker_lost that was replaced", MOST_AT_ONCE, "attempts recorded", UNTOLD)
        for name in shown:
            table.rows.append((name, ends.counts[name]))
        table.want(
            "children started", ends.counts["children started"], ends.counts["attempts recorded"] - ends.counts[UNTOLD]
        )
        if self._unsure:
            table.rows.append(("ids that were taken when they were sent again", self._unsure))
