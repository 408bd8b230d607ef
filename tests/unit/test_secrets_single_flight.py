"""Callers who want the same thing at once share one call."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from attune_tasks.secrets.single_flight import SingleFlight


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def test_those_who_wait_at_once_share_one_call() -> None:
    flights: SingleFlight[int] = SingleFlight()
    calls: list[int] = []
    everyone_waits = threading.Barrier(8)

    def call() -> int:
        calls.append(1)
        time.sleep(0.3)
        return 42

    def wait() -> int:
        everyone_waits.wait()
        return flights.share("path", call, soon())

    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(wait) for _ in range(8)]
        assert [result.result() for result in results] == [42] * 8
    assert len(calls) == 1


def test_nothing_is_kept_after_the_call() -> None:
    flights: SingleFlight[int] = SingleFlight()
    answers = iter((1, 2))
    assert [flights.share("path", lambda: next(answers), soon()) for _ in range(2)] == [1, 2]
    assert flights._flights == {}


def test_different_paths_do_not_wait_for_each_other() -> None:
    flights: SingleFlight[int] = SingleFlight()
    assert flights.share("a", lambda: flights.share("b", lambda: 7, soon()), soon()) == 7


def test_who_has_as_little_time_shares_a_failure() -> None:
    flights: SingleFlight[int] = SingleFlight()
    deadline = soon()
    entered = threading.Event()
    calls: list[int] = []

    def fail() -> int:
        calls.append(1)
        entered.set()
        time.sleep(0.3)
        raise KeyError

    with ThreadPoolExecutor(4) as pool:
        failing = [pool.submit(flights.share, "path", fail, deadline)]
        entered.wait(5)
        failing += [pool.submit(flights.share, "path", fail, deadline + 0.1) for _ in range(3)]
        errors = [each.exception() for each in failing]
    assert [type(error) for error in errors] == [KeyError] * 4
    assert len({id(error) for error in errors}) == 4
    assert len(calls) == 1


def test_who_has_more_time_makes_another_call_after_a_failure() -> None:
    flights: SingleFlight[int] = SingleFlight()
    entered = threading.Event()

    def fail() -> int:
        entered.set()
        time.sleep(0.2)
        raise KeyError

    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(flights.share, "path", fail, soon(1))
        entered.wait(5)
        assert flights.share("path", lambda: 5, soon()) == 5
        with pytest.raises(KeyError):
            failing.result()


def test_a_call_that_outlasts_its_deadline_is_waited_for_by_nobody_else() -> None:
    flights: SingleFlight[int] = SingleFlight()
    entered, end = threading.Event(), threading.Event()

    def hang() -> int:
        entered.set()
        end.wait(10)
        return 1

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(flights.share, "path", hang, soon(0.2))
        entered.wait(5)
        assert flights.share("path", lambda: 2, soon()) == 2
        assert not hanging.done()
        end.set()
        assert hanging.result() == 1


def test_who_has_no_time_left_makes_the_call_which_says_so() -> None:
    flights: SingleFlight[int] = SingleFlight()
    entered, end = threading.Event(), threading.Event()

    def hang() -> int:
        entered.set()
        end.wait(10)
        return 1

    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(flights.share, "path", hang, soon())
        entered.wait(5)
        assert flights.share("path", lambda: 3, soon(0.1)) == 3
        end.set()
        hanging.result()
