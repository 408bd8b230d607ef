"""What befalls workers: nothing of their executions is left, and each has the end that it can have.

The actions, and the look for what is left, are those of test_kills.py.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.acceptance.kill_site import SECONDS, Begun, KillSite, kill_all, tracks_of
from tests.acceptance.left import Seen, now, seconds_until_gone, zombies_below
from tests.acceptance.nasty_pack import KINDS, NEIGHBOUR
from tests.kill_times import kill_time
from tests.redis_server import RedisServer
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

POOLS = pytest.mark.parametrize("pool", ["prefork", "threads"])
SUCCEEDED = ("succeeded", None, "SUCCESS")


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer) -> KillSite:
    return KillSite(tmp_path, redis_server)


def let_go(begun: Iterable[Begun]) -> None:
    for each in begun:
        each.go()


@POOLS
def test_a_warm_shutdown_waits_for_what_runs(site: KillSite, pool: str) -> None:
    with site.worker(pool) as running:
        begun = [*site.begin_all(), site.begin_neighbour()]
        whole = site.whole(running)
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Warm shutdown" in running.log(), "the shutdown's begin")
        let_go(begun)
        assert running.process.wait(SECONDS) == 0
        kill_time("warm shutdown", pool, seconds_until_gone(whole, now()))
        assert site.ends(begun) == dict.fromkeys((*KINDS, NEIGHBOUR), SUCCEEDED)
        site.assert_succeeded(begun[-1])
        site.assert_empty()


@POOLS
def test_a_soft_shutdown_lets_succeed_what_ends_in_time(site: KillSite, pool: str) -> None:
    with site.worker(pool, soft=2) as running:
        neighbour = site.begin_neighbour()
        begun = site.begin_all()
        whole = site.whole(running)
        running.process.send_signal(signal.SIGQUIT)
        wait_until(lambda: "Soft Shutdown" in running.log(), "the shutdown's begin")
        neighbour.go()
        running.process.wait(SECONDS)
        kill_time("soft shutdown", pool, seconds_until_gone(whole, now()))
        site.assert_succeeded(neighbour)
        assert site.ends(begun) == dict.fromkeys(KINDS, ("cancelled", "worker_shutdown", "FAILURE"))
        site.assert_empty()


@POOLS
def test_a_cold_shutdown_cancels_all(site: KillSite, pool: str) -> None:
    with site.worker(pool) as running:
        quick = site.begin_neighbour()
        begun = [*site.begin_all(), site.begin_neighbour()]
        quick.go()
        site.assert_succeeded(quick)  # so that its launcher waits for another
        ours = site.with_launchers(tracks_of(begun), running)
        assert quick.launcher in ours.processes
        whole = site.whole(running)
        event = now()
        running.process.send_signal(signal.SIGQUIT)
        # The pool itself goes when Celery has closed it, which takes its time.
        kill_time("cold shutdown", pool, seconds_until_gone(ours, event))
        running.process.wait(SECONDS)
        seconds_until_gone(whole, now())
        kill_time("cold shutdown: the worker, too", pool, now() - event)
        assert site.ends(begun) == dict.fromkeys((*KINDS, NEIGHBOUR), ("cancelled", "worker_shutdown", "FAILURE"))
        site.assert_empty()


@POOLS
def test_sigkill_of_the_main_process_leaves_nothing(site: KillSite, pool: str) -> None:
    with site.worker(pool) as running:
        begun = [*site.begin_all(), site.begin_neighbour()]
        whole = site.whole(running)
        event = now()
        running.kill(signal.SIGKILL)
        kill_time("SIGKILL of the main process", pool, seconds_until_gone(whole, event))
        site.assert_empty()
        # Nobody is there who could store an end: a backend has these as running until its results expire.
        assert {site.state(each) for each in begun} == {"STARTED"}


def test_a_plain_subprocess_outlives_the_main_process_and_is_found(site: KillSite) -> None:
    with site.worker("prefork") as running:
        naive = site.begin_naive()
        ours = site.begin_all()
        event = now()
        running.kill(signal.SIGKILL)
        try:
            seconds_until_gone(tracks_of(ours, launchers=True, slots=True), event)
            with pytest.raises(AssertionError, match=r"left .* s after the event"):
                seconds_until_gone(naive.tracks, event)
            left = naive.tracks.left()
            assert len([line for line in left if line.startswith("process")]) >= 5, left
        finally:
            kill_all(naive.tracks.living())


@pytest.mark.parametrize("arguments", [("--max-tasks-per-child", "1"), ("--max-memory-per-child", "1")])
def test_a_pool_process_that_is_replaced_takes_all_with_it(site: KillSite, arguments: tuple[str, str]) -> None:
    with site.worker("prefork", *arguments) as running:
        neighbour = site.begin_neighbour()
        begun = site.begin_all()
        event = now()
        let_go(begun)
        kill_time(arguments[0], "prefork", seconds_until_gone(tracks_of(begun, launchers=True, slots=True), event))
        assert site.ends(begun) == dict.fromkeys(KINDS, SUCCEEDED)
        site.assert_undisturbed(neighbour)
        wait_until(lambda: not neighbour.slot.lives(), "the end of the neighbour's pool process, too", 5)
        wait_until(lambda: not zombies_below(Seen.of(running.process.pid)), "no zombies", 5)


def test_a_pool_that_shrinks_takes_the_launchers_of_its_processes_with_it(site: KillSite) -> None:
    with site.worker("prefork", "--autoscale", "6,1", environ={"AUTOSCALE_KEEPALIVE": "1"}) as running:
        neighbour = site.begin_neighbour()
        begun = site.begin_all()
        let_go(begun)
        assert site.ends(begun) == dict.fromkeys(KINDS, SUCCEEDED)
        wait_until(lambda: sum(not each.slot.lives() for each in begun) >= 3, "the pool shrinks", SECONDS)
        event = now()
        gone = [each for each in begun if not each.slot.lives()]
        kill_time("--autoscale", "prefork", seconds_until_gone(tracks_of(gone, launchers=True, slots=True), event))
        seconds_until_gone(tracks_of(begun), event)
        site.assert_undisturbed(neighbour)
        wait_until(lambda: not zombies_below(Seen.of(running.process.pid)), "no zombies", 5)
