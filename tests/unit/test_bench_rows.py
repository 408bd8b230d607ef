"""What the benchmarks make of their figures: which rows hold, which misses are known, the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.measuring import Cost, Side, compared, interleaved
from benchmarks.rows import KnownMiss, Row, exit_code, known_misses, unknown_cases, verdict

HOLDS = Row("python", "naive", 0.17, 0.17)
MISSES = Row("shell", "naive", 1.51, 1.5)
FEWER = Row("speed", "naive", 0.8, 0.9, at_least=True)
WATCHED = Row("celery", "naive", 9.0, None)
KNOWN = {"shell": KnownMiss(1.6, "the folder is on ext4")}


@pytest.mark.parametrize(
    ("ratio", "goal", "at_least", "holds"),
    [
        (0.17, 0.17, False, True),
        (0.1704, 0.17, False, False),
        (0.9, 0.9, True, True),
        (0.8996, 0.9, True, False),
        (99.0, None, False, True),
        (float("nan"), 0.17, False, False),
        (float("nan"), 0.9, True, False),
    ],
)
def test_a_row_holds_up_to_its_goal_or_from_it_on(
    *, ratio: float, goal: float | None, at_least: bool, holds: bool
) -> None:
    assert Row("case", "against", ratio, goal, at_least=at_least).holds is holds


def test_an_entry_of_the_results_is_rounded_and_judged_by_what_was_measured() -> None:
    assert Row("case", "against", 0.170004, 0.17).as_dict() == {
        "case": "case",
        "against": "against",
        "ratio": 0.17,
        "goal": 0.17,
        "holds": False,
    }


@pytest.mark.parametrize(
    ("rows", "known", "code"),
    [
        ([HOLDS, WATCHED], {}, 0),
        ([HOLDS, MISSES], {}, 1),
        ([HOLDS, MISSES], KNOWN, 0),
        ([HOLDS, MISSES], {"python": KnownMiss(9.0, "it is another that is known")}, 1),
        ([HOLDS, MISSES], {"shell": KnownMiss(1.505, "but less was known")}, 1),
        ([FEWER], {"speed": KnownMiss(0.7, "it is known")}, 0),
        ([FEWER], {"speed": KnownMiss(0.85, "but less was known")}, 1),
        ([HOLDS], {"python": KnownMiss(9.0, "it holds")}, 0),
    ],
)
def test_the_exit_code_is_1_where_a_row_misses_that_is_not_known_to(
    rows: list[Row], known: dict[str, KnownMiss], code: int
) -> None:
    assert exit_code(rows, known) == code


@pytest.mark.parametrize(
    ("row", "known", "said"),
    [
        (HOLDS, {}, "holds"),
        (MISSES, {}, "MISSES"),
        (MISSES, KNOWN, "misses; known: the folder is on ext4"),
        (MISSES, {"shell": KnownMiss(1.505, "why")}, "MISSES by more than the known 1.505"),
        (HOLDS, {"python": KnownMiss(0.2, "why")}, "holds this time, a known miss"),
        (WATCHED, {}, "no goal"),
    ],
)
def test_beside_each_row_stands_how_it_did(row: Row, known: dict[str, KnownMiss], said: str) -> None:
    assert verdict(row, known) == said


def test_a_known_miss_that_is_no_row_is_found() -> None:
    assert unknown_cases([HOLDS, MISSES], {**KNOWN, "renamed": KnownMiss(1.0, "why")}) == ["renamed"]


def test_the_known_misses_of_the_project_have_reasons() -> None:
    assert all(len(miss.why) > 20 for miss in known_misses().values())


@pytest.mark.parametrize(
    "entry",
    ['"a case" = ""', '"a case" = 1', '["a case"]', '["a case"]\nup_to = 1.5\nwhy = " "', '["a case"]\nwhy = "so"'],
)
def test_a_known_miss_without_a_bound_or_a_reason_is_refused_by_its_case(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "known_misses.toml"
    path.write_text(entry)
    with pytest.raises(ValueError, match='the known miss "a case" has no bound or no reason'):
        known_misses(path)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, list[Row] | None]:
    """Give what each case comes to, for run.py to print and judge; no case is measured."""
    rows: dict[str, list[Row] | None] = {"python": [HOLDS], "shell": [MISSES], "celery": [WATCHED]}
    monkeypatch.setattr(run, "RESULTS", tmp_path / "latest.json")
    monkeypatch.setattr(run, "_rows_of", rows.__getitem__)
    monkeypatch.setattr("benchmarks.cases.CASES", dict.fromkeys(rows))
    monkeypatch.setattr(run, "known_misses", lambda: KNOWN)
    return rows


def test_a_known_miss_is_printed_with_its_reason_and_all_rows_are_written(
    measured: dict[str, list[Row] | None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main([]) == 0
    assert "misses; known: the folder is on ext4" in capsys.readouterr().out
    written = json.loads(run.RESULTS.read_text(encoding="utf-8"))
    assert [(row["case"], row["holds"]) for row in written] == [("python", True), ("shell", False), ("celery", True)]


def test_a_miss_that_is_not_known_fails_and_is_written(measured: dict[str, list[Row] | None]) -> None:
    measured["python"] = [Row("python", "naive", 0.18, 0.17)]
    assert run.main([]) == 1
    assert not json.loads(run.RESULTS.read_text(encoding="utf-8"))[0]["holds"]


def test_a_case_without_figures_fails_and_the_last_results_stay(
    measured: dict[str, list[Row] | None], capsys: pytest.CaptureFixture[str]
) -> None:
    measured["celery"] = None
    assert run.main([]) == 1
    assert "No figures for celery" in capsys.readouterr().out
    assert not run.RESULTS.exists()


def test_some_cases_by_name_are_judged_and_not_written(
    measured: dict[str, list[Row] | None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["python"]) == 0
    assert "shell" not in capsys.readouterr().out
    assert not run.RESULTS.exists()
    assert run.main(["pyton"]) == 2
    assert "There is no case pyton; there are: python, shell, celery" in capsys.readouterr().err


class Clock:
    """A clock that stands still unless a call takes its time, and the processor's beside it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be what the benchmarks measure by."""
        self.wall = self.cpu = 0.0
        monkeypatch.setattr("time.perf_counter", lambda: self.wall)
        monkeypatch.setattr("benchmarks.measuring._cpu_seconds", lambda: self.cpu)

    def take(self, wall: float, cpu: float = 0.0) -> None:
        """Let time go by."""
        self.wall += wall
        self.cpu += cpu


def test_a_slow_first_round_and_an_outlier_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    takes = iter([50.0, 1.0, 1.0, 70.0, 1.0, 1.0])
    assert interleaved(lambda: clock.take(next(takes)), lambda: clock.take(4.0), 5) == 0.25


def side(clock: Clock, first: Cost, later: Cost, end_cpu: float = 0.0) -> Side:
    """Give a side whose first call costs more than the others, and whose processor time is counted at its end, too."""
    costs = iter([first])

    def call() -> None:
        cost = next(costs, later)
        clock.take(cost.wall, cost.cpu)

    return Side(call, lambda: clock.take(0.0, end_cpu))


def test_what_a_first_call_starts_counts_as_its_part_of_all_that_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    ratios = compared(
        lambda: side(clock, Cost(51.0, 26.0), Cost(1.0, 1.0), end_cpu=25.0),
        lambda: side(clock, Cost(10.0, 10.0), Cost(10.0, 10.0)),
        at_once=1,
        batches=3,
        calls=(4, 2),
        renewed_after=500,
    )
    assert ratios.wall == pytest.approx((1.0 + 50.0 / 500) / 10)
    assert ratios.cpu == pytest.approx((1.0 + 50.0 / 500) / 10)


def test_batches_that_noise_struck_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    noise = iter([1.0, 1.0, 9.0, 9.0, 1.0, 1.0, 1.0, 1.0])  # a batch is two sides; the first batch warms up
    ratios = compared(
        lambda: side(clock, Cost(1.0, 1.0), Cost(cost := next(noise), cost)),
        lambda: side(clock, Cost(4.0, 4.0), Cost(4.0, 4.0)),
        at_once=1,
        batches=3,
        calls=(3, 3),
        renewed_after=1_000_000,
    )
    assert [ratios.wall, ratios.cpu] == pytest.approx([0.25, 0.25], rel=1e-4)


def test_a_call_that_fails_in_one_of_two_threads_fails_the_measurement() -> None:
    calls = iter([None, RuntimeError("the third"), None])

    def call() -> None:
        if (error := next(calls, None)) is not None:
            raise error

    with pytest.raises(RuntimeError, match="the third"):
        compared(lambda: Side(call), lambda: Side(call), at_once=2, batches=1, calls=(1, 1), renewed_after=1)
