"""A worker's memory does not grow with the executions that fail."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from attune_tasks import enqueue
from tests.acceptance.left import Seen, below
from tests.integration.claims_pack import write_claims_pack
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer

MIB = 1 << 20
SOME, MORE = 20, 120


@pytest.fixture
def place(tmp_path: Path, redis_server: RedisServer) -> Place:
    made = make_place(tmp_path, redis_server)
    write_claims_pack(made)
    return made


def celery_memory(main: int) -> int:
    """Give the bytes of a worker's processes together, launchers and actions aside."""
    found = 0
    for process in (Seen.of(main), *below(Seen.of(main))):
        if Path(f"/proc/{process.pid}/comm").read_text(encoding="utf-8") != "attune-launcher\n":
            found += int(Path(f"/proc/{process.pid}/statm").read_text(encoding="utf-8").split()[1])
    return found * resource.getpagesize()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_failures_leave_nothing_behind_in_memory(place: Place, pool: str) -> None:
    client = place.client()
    with worker(place, "-P", pool, "-c", "1") as running:

        def fail(times: int) -> int:
            handles = [enqueue("claims.broken", app=client) for _ in range(times)]
            assert {handle.result(90).status for handle in handles} == {"failed"}
            return celery_memory(running.process.pid)

        # Of each, Celery keeps a traceback of a quarter of a MiB in a cycle.
        assert fail(SOME) + 8 * MIB > fail(MORE)
