"""When another attempt follows, and what metadata may say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attune_tasks.attempts import Concurrency, RetryPolicy, attempt_after, reason_of
from attune_tasks.packs.loader import LoadedPack, load_pack
from attune_tasks.result import ExecutionResult, Status

METADATA = "ref: p.act\nrunner_type: shell\nentry_point: act.sh\nparameters: {key: {type: string}}\n"


def ended(status: Status, kind: str | None = None, attempt: int = 1) -> ExecutionResult:
    error = {"type": kind, "message": ""} if kind else None
    return ExecutionResult(1, "p.act", status, error=error, attempt=attempt)


def loaded(folder: Path, text: str) -> LoadedPack:
    actions = folder / "p" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: p\n", encoding="utf-8")
    (actions / "act.yaml").write_text(METADATA + text, encoding="utf-8")
    (actions / "act.sh").touch()
    return load_pack(folder / "p", ["shell"])


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (ended("failed", "nonzero_exit"), "failed"),
        (ended("timed_out", "timed_out"), "timed_out"),
        (ended("error", "secrets_unavailable"), "secrets"),
        (ended("error", "worker_lost"), "worker_lost"),
        (ended("error", "launcher_lost"), "worker_lost"),
        (ended("error", "claim_lost"), "worker_lost"),
        (ended("error", "unknown_action"), None),
        (ended("cancelled", "cancelled"), None),
        (ended("succeeded"), None),
    ],
)
def test_each_end_has_its_reason(result: ExecutionResult, reason: str | None) -> None:
    assert reason_of(result) == reason


def test_pauses_double_up_to_an_hour_and_end_with_the_last_attempt() -> None:
    policy = RetryPolicy(20, backoff=2.0, jitter=0, on=frozenset({"failed"}))
    pauses = [policy.delay(ended("failed", attempt=attempt)) for attempt in range(1, 21)]
    assert pauses[:4] == [2.0, 4.0, 8.0, 16.0]
    assert pauses[-2:] == [3600.0, None]
    assert policy.delay(ended("timed_out")) is None
    assert policy.attempts_if_lost == 1


def test_jitter_changes_a_pause_by_its_part_of_it() -> None:
    policy = RetryPolicy(3, backoff=10.0, jitter=0.5, on=frozenset({"failed"}))
    pauses = {policy.delay(ended("failed")) for _ in range(50)}
    assert len(pauses) > 1
    assert all(pause is not None and 5.0 <= pause <= 15.0 for pause in pauses)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", RetryPolicy()),
        ("idempotent: true\n", RetryPolicy(3, on=frozenset({"worker_lost"}))),
        ("retry: {}\n", RetryPolicy(3, on=frozenset({"failed", "timed_out", "secrets"}))),
        (
            "idempotent: true\nretry: {max_attempts: 9}\n",
            RetryPolicy(9, on=frozenset({"failed", "timed_out", "secrets", "worker_lost"})),
        ),
        ("idempotent: true\nretry: {on: [failed]}\n", RetryPolicy(3, on=frozenset({"failed"}))),
        ("retry: {backoff: 60, jitter: 0, 'on': [secrets]}\n", RetryPolicy(3, 60.0, 0.0, frozenset({"secrets"}))),
    ],
)
def test_metadata_says_when_another_attempt_follows(tmp_path: Path, text: str, policy: RetryPolicy) -> None:
    pack = loaded(tmp_path, text)
    assert pack.problems == []
    assert pack.actions[0].retry == policy


def test_metadata_says_how_many_run_at_once(tmp_path: Path) -> None:
    pack = loaded(tmp_path, "concurrency: {limit: 4, by: [key], on_conflict: fail}\n")
    assert pack.actions[0].concurrency == Concurrency(4, ("key",), "fail")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("retry: {on: [worker_lost]}\n", "worker_lost needs `idempotent: true`"),
        ("retry: {max_attempts: 0}\n", "must be 1 or more"),
        ("retry: {backof: 1}\n", "did you mean backoff"),
        ("retry: {on: [never]}\n", "'failed'"),
        ("concurrency: {limit: 0}\n", "must be 1 or more"),
        ("concurrency: {by: [nobody]}\n", "there is no parameter nobody"),
        ("concurrency: {limits: 1}\n", "did you mean limit"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, text: str, said: str) -> None:
    pack = loaded(tmp_path, text)
    assert pack.actions == []
    assert any(said in problem for problem in pack.problems), pack.problems


@pytest.mark.parametrize(
    ("retries", "attempt"), [(None, 1), (0, 1), (4, 5), (-1, 1), ("7", 1), (1.5, 1), (1 << 40, 1), ([], 1)]
)
def test_a_strangers_message_may_say_anything_of_retries(retries: object, attempt: int) -> None:
    assert attempt_after(retries) == attempt


def test_a_result_says_which_attempt_it_is_of() -> None:
    result = ended("failed", "x", attempt=4)
    assert ExecutionResult.from_json(result.to_json()).attempt == 4
    older: dict[str, Any] = result.to_dict()
    del older["attempt"]
    assert ExecutionResult.from_dict(older).attempt == 1
