"""What the pool has and does not begin: sent again where a slot was free for it all the time, and only then."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from attune_tasks._celery.claims import waiting
from attune_tasks._celery.claims.waiting import Waiting


@dataclass
class Request:
    """One that is with the pool, or not yet."""

    is_handed_over: bool = True
    lost: int = 0
    fails: bool = False

    def give_back(self, *, publish: bool) -> None:
        """Not what is asked of it here."""
        raise AssertionError(publish)

    def lost_by_pool(self) -> None:
        """Count, or fail as a client does."""
        self.lost += 1
        if self.fails:
            msg = "redis://:hunter2@host"
            raise ConnectionError(msg)


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def monotonic(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(waiting, "time", made)
    return made


def test_what_the_pool_has_lost_is_sent_again_once(clock: Clock) -> None:
    held, request, reserved = Waiting(), Request(), Request(is_handed_over=False)
    held.add("one", request)
    held.add("two", reserved)
    assert held.send_lost_again(30, is_slot_free=True) == 0
    clock.now += 29
    assert held.send_lost_again(30, is_slot_free=True) == 0
    clock.now += 1
    assert held.send_lost_again(30, is_slot_free=True) == 1
    clock.now += 100
    assert held.send_lost_again(30, is_slot_free=True) == 0
    assert (request.lost, reserved.lost) == (1, 0)


def test_who_waits_for_a_slot_is_not_lost(clock: Clock) -> None:
    held, request = Waiting(), Request()
    held.add("one", request)
    for is_free in (True, False, True):
        assert held.send_lost_again(30, is_slot_free=is_free) == 0
        clock.now += 29
    assert held.send_lost_again(30, is_slot_free=True) == 0
    held.remove("one")  # it has begun
    clock.now += 100
    assert held.send_lost_again(30, is_slot_free=True) == 0
    assert request.lost == 0


def test_one_that_cannot_be_given_back_keeps_no_other_from_it(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    held, failing, request = Waiting(), Request(fails=True), Request()
    held.add("one", failing)
    held.add("two", request)
    held.send_lost_again(30, is_slot_free=True)
    clock.now += 30
    with caplog.at_level(logging.WARNING, "attune_tasks.claims"):
        assert held.send_lost_again(30, is_slot_free=True) == 2
    assert (failing.lost, request.lost) == (1, 1)
    assert "ConnectionError" in caplog.text
    assert "hunter2" not in caplog.text
