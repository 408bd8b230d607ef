"""A short soak: each of hundreds of executions has one final state, the right one, and nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.append_only import all_metas
from tests.soak.chaos import REDIS, WORKERS
from tests.soak.ends import Sent, judge
from tests.soak.memory import Memory
from tests.soak.run import Soak

pytestmark = pytest.mark.timeout(420)


def test_a_soak_of_two_minutes_finds_nothing_wrong(tmp_path: Path) -> None:
    table = Soak(tmp_path, executions=1500, seconds=80, pause=7).run()
    assert not table.wrong, str(table)
    rows = dict(table.rows)
    assert rows[WORKERS], str(table)
    assert rows[REDIS], str(table)


def test_a_soak_finds_memory_that_grows() -> None:
    flat, grown, other = Memory(1), Memory(1), Memory(1)
    for number in range(40):
        flat.add({"pool process": 60 << 20})
        grown.add({"pool process": (60 + number) << 20})
        other.add({"launcher": 10 << 20} if number > 36 else {})
    assert flat.judged() == {"pool process": (60.0, 60.0, True)}
    assert [is_flat for _, _, is_flat in grown.judged().values()] == [False]
    assert other.judged() == {}  # too few to say


def stored(folder: Path, *metas: tuple[str, object]) -> None:
    """Write an append-only file in which one task was told these states."""
    text = b""
    for state, result in metas:
        value = json.dumps({"status": state, "result": result}).encode()
        words = (b"SET", b"celery-task-meta-a", value)
        text += b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    path = folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
    path.parent.mkdir()
    path.write_bytes(text)


def end(status: str, error: str | None = None, attempt: int = 1) -> dict[str, object]:
    """Give an execution's result, as far as it is judged."""
    return {"status": status, "error": {"type": error} if error else None, "attempt": attempt}


def failure(status: str, error: str | None = None, attempt: int = 1) -> dict[str, object]:
    """Give what Celery stores of one that has not succeeded."""
    return {"exc_type": "ActionFailed", "exc_message": [end(status, error, attempt)]}


@pytest.mark.parametrize(
    ("kind", "started", "metas", "wrong"),
    [
        ("ok", 1, [("STARTED", {}), ("SUCCESS", end("succeeded"))], ""),
        ("ok", 1, [("STARTED", {})], "without a final state"),
        ("ok", 1, [], "without a final state"),
        ("ok", 1, [("SUCCESS", end("succeeded")), ("STARTED", {})], "final state overwritten"),
        ("ok", 1, [("FAILURE", failure("failed")), ("SUCCESS", end("succeeded"))], "two final states"),
        ("ok", 1, [("FAILURE", failure("error", "worker_lost")), ("SUCCESS", end("succeeded"))], ""),
        ("ok", 1, [("FAILURE", failure("failed"))], "with a wrong final state"),
        ("failing", 1, [("FAILURE", failure("failed"))], ""),
        ("failing", 0, [("FAILURE", {"exc_type": "KeyError", "exc_message": ["x"]})], "with a wrong final state"),
        ("failing", 1, [("SUCCESS", end("succeeded"))], "with a wrong final state"),
        ("idempotent", 1, [("FAILURE", failure("error", "worker_lost"))], "with a wrong final state"),
        ("idempotent", 2, [("SUCCESS", end("succeeded", attempt=2))], ""),
        ("ok", 2, [("SUCCESS", end("succeeded"))], "more children than attempts"),
        ("ok", 0, [("SUCCESS", end("succeeded"))], "succeeded without a child"),
        ("idempotent", 0, [("SUCCESS", end("succeeded", attempt=2))], "succeeded without a child"),
        ("failing", 0, [("FAILURE", failure("failed"))], "fewer children than attempts"),
        ("ok", 0, [("FAILURE", failure("error", "worker_lost"))], ""),
    ],
)
def test_a_soak_finds_what_is_wrong(
    tmp_path: Path, kind: str, started: int, metas: list[tuple[str, object]], wrong: str
) -> None:
    stored(tmp_path, *metas)
    (tmp_path / "7").write_text("started\n" * started, encoding="utf-8")
    assert len(list(all_metas(tmp_path))) == len(metas)
    ends = judge({"a": Sent(kind, 7)}, tmp_path, tmp_path)
    assert [each.partition(":")[0] for each in ends.wrong if wrong not in each] == []
    assert bool(ends.wrong) is bool(wrong)
