"""A real beat, or two, with a real worker and a real Redis."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from attune_tasks import Handle
from attune_tasks.ids import task_id_of
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

SITE = """\
import celery
import attune_tasks
app = celery.Celery("attune_tasks")
app.conf.update(include=["attune_tasks.tasks"], beat_max_loop_interval=0.2)
app.conf.beat_schedule = {
    "once": attune_tasks.schedule(
        "work.mark", 1.5, name="once", caller="beat-test", idempotency_key="once", idempotency_seconds=1.2
    ),
    "twice": attune_tasks.schedule("work.mark", 1.5, name="twice"),
    "long": attune_tasks.schedule("work.long", 1.0),
}
"""
MARK = """\
import os
def run(params):
    with open(os.path.join(os.path.dirname(__file__), params["name"]), "a") as marks:
        marks.write("x\\n")
"""
LONG = "ref: work.long\nrunner_type: shell\nentry_point: long.sh\nconcurrency: {limit: 1, on_conflict: fail}\n"
ROUNDS = 3
_REFUSED = re.compile(r"execution (\d+) error: as many executions")


@contextmanager
def beat(place: Place, name: str) -> Iterator[Path]:
    """Run ``celery -A site_app beat``; give its log."""
    log = place.folder / f"{name}.log"
    command = [sys.executable, "-m", "celery", "-A", "site_app", "beat", "-l", "INFO", "--pidfile="]
    command += ["-s", str(place.folder / name)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=place.folder, env=place.environ(), stdout=output, stderr=output)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(15)


def sendings(log: Path, entry: str) -> int:
    return log.read_text(encoding="utf-8").count(f"Sending due task {entry} ")


@pytest.fixture
def place(tmp_path: Path, redis_server: RedisServer) -> Place:
    made = make_place(tmp_path, redis_server)
    actions = made.packs / "work" / "actions"
    (actions / "mark.py").write_text(MARK, encoding="utf-8")
    (actions / "mark.yaml").write_text(
        "ref: work.mark\nrunner_type: python\nentry_point: mark.py\nparameters: {name: {type: string}}\n",
        encoding="utf-8",
    )
    (actions / "long.sh").write_text("sleep 30\n", encoding="utf-8")
    (actions / "long.yaml").write_text(LONG, encoding="utf-8")
    (tmp_path / "site_app.py").write_text(SITE, encoding="utf-8")
    return made


def marks(place: Place, name: str) -> int:
    path = place.packs / "work" / "actions" / name
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def test_two_beats_send_once_and_what_still_runs_keeps_the_next_from_beginning(place: Place) -> None:
    with worker(place, "-P", "threads", "-c", "4", app="site_app") as running, ExitStack() as stack:
        logs = [stack.enter_context(beat(place, name)) for name in ("one", "two")]

        def sent(entry: str) -> int:
            return sum(sendings(log, entry) for log in logs)

        wait_until(lambda: all(sendings(log, "once") >= ROUNDS for log in logs), "both beats send", 40)
        wait_until(lambda: marks(place, "twice") >= 2 * ROUNDS, "what has no key runs as often as it is sent")
        assert ROUNDS <= marks(place, "once") <= sent("once") / 2 + 2 < sent("once")
        assert "of work.mark starts, claimed_by=beat-test" in running.log()
        wait_until(lambda: _REFUSED.search(running.log()), "one more of what runs ends at once")
        assert running.log().count("of work.long starts") == 1
        refused = _REFUSED.search(running.log())
        assert refused
        handle = Handle.from_task_id(task_id_of(int(refused[1])), place.client())
        assert (handle.result(5).error or {})["type"] == "concurrency_limit"
        stack.close()  # or the next one would begin
        runs = re.search(r"execution (\d+) of work.long starts", running.log())
        assert runs
        Handle.from_task_id(task_id_of(int(runs[1])), place.client()).cancel()
