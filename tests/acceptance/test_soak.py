"""A short soak: each of hundreds of executions has one final state, the right one, and nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.append_only import all_metas
from tests.soak.chaos import REDIS, WORKERS, Kill
from tests.soak.ends import MOST_AT_ONCE, UNTOLD, Sent, judge
from tests.soak.memory import Memory
from tests.soak.overlap import most_at_once
from tests.soak.pack import LIMITED_FILE
from tests.soak.run import Soak

pytestmark = pytest.mark.timeout(420)

EXECUTIONS = 800


def test_a_soak_of_two_minutes_finds_nothing_wrong(tmp_path: Path) -> None:
    table = Soak(tmp_path, executions=EXECUTIONS, seconds=200, pause=5).run()
    assert not table.wrong, str(table)
    rows = dict(table.rows)
    assert rows["executions sent"] == EXECUTIONS, str(table)
    assert rows[WORKERS], str(table)
    assert rows[REDIS], str(table)
    assert rows[MOST_AT_ONCE], str(table)
    for kind in ("main process", "pool process", "launcher"):
        assert f"memory of the {kind}, MiB" in rows, str(table)


def test_a_soak_finds_memory_that_grows() -> None:
    flat, grown, other = Memory(1), Memory(1), Memory(1)
    for number in range(40):
        flat.add({"pool process": 60 << 20})
        grown.add({"pool process": (60 + number) << 20})
        other.add({"launcher": 10 << 20} if number > 36 else {})
    assert flat.judged() == {"pool process": (60.0, 60.0, True)}
    assert [is_flat for _, _, is_flat in grown.judged().values()] == [False]
    assert other.judged() == {}  # too few to say
    assert other.unjudged() == {"main process": 0, "pool process": 0, "launcher": 3}
    assert flat.unjudged() == {"main process": 0, "launcher": 0}


def stored(folder: Path, begun: dict[int, float], *metas: tuple[str, object]) -> None:
    """Write an append-only file: one task was told these states, and its attempts were begun at these times."""
    commands: list[tuple[bytes, ...]] = []
    claim = b"attune:{attune_tasks}:claim:7"
    for attempt, at in begun.items():
        commands += [
            (b"HSET", claim, b"state", b"claimed", b"attempt", b"%d" % attempt, b"worker", b"threads@soak:12"),
            (b"HSET", claim, b"state", b"begun", b"begun", b"%d" % (at * 1000)),
            # The answer to that was lost on its way.
            (b"HSET", claim, b"state", b"begun", b"begun", b"%d" % (at * 1000 + 100_000)),
        ]
    for state, result in metas:
        value = json.dumps({"status": state, "result": result}).encode()
        commands.append((b"SET", b"celery-task-meta-a", value))
    text = b""
    for words in commands:
        text += b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    path = folder / "appendonlydir" / "appendonly.aof.1.incr.aof"
    path.parent.mkdir()
    path.write_bytes(text)


def end(status: str, error: str | None = None, attempt: int = 1) -> dict[str, object]:
    """Give an execution's result, as far as it is judged."""
    return {"status": status, "error": {"type": error} if error else None, "attempt": attempt}


def failure(status: str, error: str | None = None, attempt: int = 1) -> dict[str, object]:
    """Give what Celery stores of one that has not succeeded."""
    return {"exc_type": "ActionFailed", "exc_message": [end(status, error, attempt)]}


KILLED = Kill("threads", 1000.0, 1000.5)
LONG_BEFORE, AT_ONCE = 900.0, 999.9


@pytest.mark.parametrize(
    ("kind", "started", "begun", "metas", "wrong"),
    [
        ("ok", 1, [LONG_BEFORE], [("STARTED", {}), ("SUCCESS", end("succeeded"))], ""),
        ("ok", 1, [LONG_BEFORE], [("STARTED", {})], "without a final state"),
        ("ok", 1, [LONG_BEFORE], [], "without a final state"),
        ("ok", 1, [LONG_BEFORE], [("SUCCESS", end("succeeded")), ("STARTED", {})], "final state overwritten"),
        ("ok", 1, [LONG_BEFORE], [("FAILURE", failure("failed")), ("SUCCESS", end("succeeded"))], "two final states"),
        (
            "ok",
            1,
            [LONG_BEFORE],
            [("FAILURE", failure("error", "worker_lost")), ("SUCCESS", end("succeeded"))],
            "",
        ),
        ("ok", 1, [LONG_BEFORE], [("FAILURE", failure("failed"))], "with a wrong final state"),
        ("failing", 1, [LONG_BEFORE], [("FAILURE", failure("failed"))], ""),
        (
            "failing",
            0,
            [],
            [("FAILURE", {"exc_type": "KeyError", "exc_message": ["x"]})],
            "with a wrong final state",
        ),
        ("failing", 1, [LONG_BEFORE], [("SUCCESS", end("succeeded"))], "with a wrong final state"),
        ("idempotent", 1, [LONG_BEFORE], [("FAILURE", failure("error", "worker_lost"))], "with a wrong final state"),
        ("idempotent", 2, [LONG_BEFORE, LONG_BEFORE], [("SUCCESS", end("succeeded", attempt=2))], ""),
        ("idempotent", 2, [LONG_BEFORE], [("SUCCESS", end("succeeded", attempt=2))], "attempts that are not those"),
        ("idempotent", 1, [LONG_BEFORE] * 2, [("SUCCESS", end("succeeded"))], "attempts that are not those"),
        ("ok", 2, [LONG_BEFORE], [("SUCCESS", end("succeeded"))], "more children than attempts"),
        ("ok", 0, [AT_ONCE], [("SUCCESS", end("succeeded"))], "succeeded without a child"),
        ("idempotent", 0, [AT_ONCE] * 2, [("SUCCESS", end("succeeded", attempt=2))], "succeeded without a child"),
        ("failing", 0, [LONG_BEFORE], [("FAILURE", failure("failed"))], "fewer children than attempts"),
        ("ok", 0, [LONG_BEFORE], [("FAILURE", failure("error", "worker_lost"))], "fewer children than attempts"),
        ("ok", 0, [AT_ONCE], [("FAILURE", failure("error", "worker_lost"))], ""),
        ("idempotent", 1, [AT_ONCE, LONG_BEFORE], [("SUCCESS", end("succeeded", attempt=2))], ""),
        ("idempotent", 1, [LONG_BEFORE] * 2, [("SUCCESS", end("succeeded", attempt=2))], "fewer children than"),
    ],
)
def test_a_soak_finds_what_is_wrong(  # noqa: PLR0913, PLR0917 - one case
    tmp_path: Path, kind: str, started: int, begun: list[float], metas: list[tuple[str, object]], wrong: str
) -> None:
    stored(tmp_path, dict(enumerate(begun, 1)), *metas)
    (tmp_path / "7").write_text("started\n" * started, encoding="utf-8")
    assert len(list(all_metas(tmp_path))) == len(metas)
    ends = judge({"a": Sent(kind, 7)}, tmp_path, tmp_path, [Kill("prefork", LONG_BEFORE, LONG_BEFORE + 1), KILLED])
    assert [each.partition(":")[0] for each in ends.wrong if wrong not in each] == []
    assert bool(ends.wrong) is bool(wrong)
    if not wrong:
        assert ends.counts["children started"] == ends.counts["attempts recorded"] - ends.counts[UNTOLD]


@pytest.mark.parametrize(
    ("noted", "most"),
    [
        ("+ 1 11,+ 2 12,- 1 11,- 2 12", 2),
        ("+ 1 11,- 1 11,+ 2 12,- 2 12", 1),
        ("+ 1 11,+ 2 12,+ 3 13,- 2 12,- 1 11,- 3 13", 3),
        ("+ 1 11,+ 2 12,- 2 12,+ 3 13,- 3 13", 1),  # the first was killed, nobody knows when
        ("+ 2 12,+ 3 13,+ 1 11,- 2 12,- 3 13", 3),  # it ran when it began
        ("+ 1 11,+ 2 12,+ 8 18,- 2 12,- 1 11,- 8 18", 2),  # 8 does not count
        ("", 0),
    ],
)
def test_a_soak_finds_how_many_ran_at_once(tmp_path: Path, noted: str, most: int) -> None:
    (tmp_path / "noted").write_text("".join(f"{line}\n" for line in noted.split(",") if line), encoding="utf-8")
    assert most_at_once(tmp_path / "noted", {8}) == most


def test_a_soak_finds_more_at_once_than_may(tmp_path: Path) -> None:
    stored(tmp_path, {})
    (tmp_path / LIMITED_FILE).write_text("+ 1 1\n+ 2 2\n+ 3 3\n- 1 1\n- 2 2\n- 3 3\n", encoding="utf-8")
    assert judge({}, tmp_path, tmp_path).wrong == ["3 executions of limited ran at once, and 2 may"]
