"""As many executions run at once as `concurrency` says, and no more, whichever workers they are on."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import accumulate

import pytest

from tests.integration.claims_batch import SETTINGS, Batch
from tests.integration.claims_pack import starts
from tests.integration.workers import worker
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

LIMIT = 3


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_two_workers_run_no_more_at_once_than_may(batch: Batch, pool: str) -> None:
    names = [f"three-{number}" for number in range(12)]
    with ExitStack() as stack:
        for name in ("one", "two"):
            arguments = ("-P", pool, "-c", "2", "-n", f"{name}@here")
            stack.enter_context(worker(batch.place, *arguments, environ=SETTINGS, log=f"{name}.log"))
        for name in names:
            batch.send(name, "three")

        def running() -> list[str]:
            return [name for name in names if starts(batch.file(name))]

        wait_until(lambda: len(running()) >= LIMIT, "as many run as may", 60)
        on = {batch.record_of(name)["worker"].partition("@")[0] for name in running()}
        assert on == {"one", "two"}  # neither has slots for all of them
        # Each that has begun keeps its ticket: a fourth one that ran would be there once the rest has been looked at.
        wait_until(lambda: sum(batch.state_of(name) == "parked" for name in names) >= LIMIT, "others wait", 60)
        assert len(running()) == LIMIT
        batch.release()
        batch.check()
        lines = (batch.place.folder / "counted").read_text(encoding="utf-8").split()
        at_once = list(accumulate(1 if line == "+" else -1 for line in lines))
        assert len(lines) == 2 * len(names)
        assert max(at_once) == LIMIT
        assert at_once[-1] == 0
