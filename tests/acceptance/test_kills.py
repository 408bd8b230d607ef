"""What befalls executions while their worker goes on: nothing of them is left, their ends are final, neighbours live.

Python (forked, and a fresh interpreter), shell and executable side by side in one worker, each with a tree of processes
that does all it can to stay.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.kill_site import SECONDS, Begun, KillSite, kill_all, tracks_of
from tests.acceptance.left import Seen, now, seconds_until_gone, users_of, zombies_below
from tests.acceptance.nasty_pack import KINDS
from tests.celery_worker import CeleryWorker
from tests.kill_times import kill_time
from tests.redis_server import RedisServer
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)  # a module's worker, and a machine with other things to do

LIMIT = 5
"""Seconds; all processes of all four have to be there by then."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> KillSite:
    return KillSite(tmp_path_factory.mktemp("kills"), redis_server)


@pytest.fixture(scope="module", params=["prefork", "threads"])
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def running(site: KillSite, pool: str) -> Iterator[CeleryWorker]:
    with site.worker(pool) as worker:
        yield worker


@pytest.fixture
def neighbour(site: KillSite, running: CeleryWorker) -> Iterator[Begun]:
    """Run what the event does not concern; see in the end that it was not concerned, and that the worker goes on."""
    begun = site.begin_neighbour()
    yield begun
    site.assert_undisturbed(begun)
    worker = Seen.of(running.process.pid)
    wait_until(lambda: not zombies_below(worker), "no ended process that nobody has reaped", 5)


def wait_for_log(running: CeleryWorker, text: str, times: int, before: int) -> None:
    wait_until(lambda: running.log()[before:].count(text) >= times, f"{times} times in the log: {text}", SECONDS)


@pytest.mark.parametrize("name", ["TERM", "KILL"])
def test_revoke_with_terminate_leaves_nothing(
    site: KillSite, running: CeleryWorker, pool: str, neighbour: Begun, name: str
) -> None:
    begun = site.begin_all()
    prefork = pool == "prefork"
    event = now()
    site.client.control.revoke([each.task_id for each in begun], terminate=True, signal=name)
    # In a pool of processes Celery ends the slot; where slots are threads, the execution is cancelled.
    tracks = tracks_of(begun, launchers=prefork, slots=prefork)
    kill_time(f"revoke {name}", pool, seconds_until_gone(tracks, event))
    kind, state = ("terminated", "REVOKED") if prefork else ("revoked", "FAILURE")
    assert site.ends(begun) == dict.fromkeys(KINDS, ("cancelled", kind, state))


@pytest.mark.parametrize("pool", ["prefork"], indirect=True)
def test_celerys_soft_time_limit_leaves_nothing(
    site: KillSite, running: CeleryWorker, pool: str, neighbour: Begun
) -> None:
    before = len(running.log())
    begun = site.begin_all(soft_time_limit=LIMIT)
    wait_for_log(running, f"Soft time limit ({LIMIT}s) exceeded", 4, before)
    kill_time("soft limit", pool, seconds_until_gone(tracks_of(begun), now()))
    assert site.ends(begun) == dict.fromkeys(KINDS, ("timed_out", "soft_time_limit", "FAILURE"))


@pytest.mark.parametrize("pool", ["prefork"], indirect=True)
def test_celerys_hard_time_limit_leaves_nothing(
    site: KillSite, running: CeleryWorker, pool: str, neighbour: Begun
) -> None:
    before = len(running.log())
    begun = site.begin_all(time_limit=LIMIT)
    wait_for_log(running, f"hard time limit of {LIMIT} seconds passed", 4, before)
    kill_time("hard limit", pool, seconds_until_gone(tracks_of(begun, launchers=True, slots=True), now()))
    assert site.ends(begun) == dict.fromkeys(KINDS, ("timed_out", "hard_time_limit", "FAILURE"))


@pytest.mark.parametrize("pool", ["threads"], indirect=True)
def test_threads_know_no_time_limit_of_celery(site: KillSite, running: CeleryWorker, pool: str) -> None:
    (begun,) = site.begin("nasty.neighbour", soft_time_limit=1, time_limit=1)
    wait_until(lambda: now() - begun.main.started > 1.5, "the time limit is over")
    site.assert_undisturbed(begun)


def test_the_deadline_leaves_nothing(site: KillSite, running: CeleryWorker, pool: str, neighbour: Begun) -> None:
    begun = site.begin_all(timeout=LIMIT)
    event = max(each.main.started for each in begun) + LIMIT
    wait_until(lambda: now() >= event, "the deadline")
    kill_time("deadline", pool, seconds_until_gone(tracks_of(begun), event))
    assert site.ends(begun) == dict.fromkeys(KINDS, ("timed_out", "timed_out", "FAILURE"))


def test_a_cancellation_leaves_nothing(site: KillSite, running: CeleryWorker, pool: str, neighbour: Begun) -> None:
    begun = site.begin_all()
    event = now()
    answers = {site.handle(each).cancel().outcome for each in begun}
    kill_time("cancel", pool, seconds_until_gone(tracks_of(begun), event))
    assert answers == {"cancelling"}
    assert site.ends(begun) == dict.fromkeys(KINDS, ("cancelled", "cancelled", "FAILURE"))


@pytest.mark.parametrize("pool", ["prefork"], indirect=True)
def test_sigkill_of_the_pool_process_leaves_nothing(
    site: KillSite, running: CeleryWorker, pool: str, neighbour: Begun
) -> None:
    begun = site.begin_all()
    event = now()
    for each in begun:
        os.kill(each.slot.pid, signal.SIGKILL)
    kill_time(
        "SIGKILL of the pool process", pool, seconds_until_gone(tracks_of(begun, launchers=True, slots=True), event)
    )
    assert site.ends(begun) == dict.fromkeys(KINDS, ("error", "worker_lost", "FAILURE"))


def test_sigkill_of_the_launcher_leaves_nothing(
    site: KillSite, running: CeleryWorker, pool: str, neighbour: Begun
) -> None:
    begun = site.begin_all()
    younger = site.begin_neighbour()  # what falls to the worker is told from its launchers by more than their age
    event = now()
    for each in begun:
        os.kill(each.launcher.pid, signal.SIGKILL)
    kill_time("SIGKILL of the launcher", pool, seconds_until_gone(tracks_of(begun, launchers=True), event))
    assert site.ends(begun) == dict.fromkeys(KINDS, ("error", "launcher_lost", "FAILURE"))
    younger.go()
    site.assert_succeeded(younger)


@pytest.mark.parametrize("pool", ["prefork"], indirect=True)
def test_sigkill_of_launcher_and_pool_process_at_once_leaves_nothing(
    site: KillSite, running: CeleryWorker, pool: str, neighbour: Begun
) -> None:
    begun = site.begin_all()
    naive = site.begin_naive()  # another's, from which what is left has to be told
    event = now()
    for each in begun:
        os.kill(each.slot.pid, signal.SIGSTOP)  # so that it can't see its launcher's end
    for each in begun:
        os.kill(each.launcher.pid, signal.SIGKILL)
        os.kill(each.slot.pid, signal.SIGKILL)
    try:
        # When Celery notices is its own affair. Once an end is told, nothing is left.
        assert site.ends(begun) == dict.fromkeys(KINDS, ("error", "worker_lost", "FAILURE"))
        left = tracks_of(begun, launchers=True, slots=True).left()
        assert not left, left
        kill_time("SIGKILL of launcher and pool process", pool, now() - event)
        noted = {int(line) for line in Path(f"{naive.file}.pids").read_text(encoding="utf-8").split()}
        assert noted <= {process.pid for process in naive.tracks.living()}
    finally:
        kill_all(naive.tracks.living())
        wait_until(lambda: site.state(naive) in {"SUCCESS", "FAILURE"}, "the end of the naive task")
        for path in naive.folder.iterdir():
            path.unlink()
        naive.folder.rmdir()


@pytest.mark.parametrize("pool", ["prefork"], indirect=True)
@pytest.mark.parametrize("how", ["revoke TERM", "revoke KILL", "SIGKILL of the pool process"])
def test_a_plain_subprocess_in_a_task_is_found_left_by_the_same_look(
    site: KillSite, running: CeleryWorker, pool: str, neighbour: Begun, how: str
) -> None:
    naive = site.begin_naive()
    ours = site.begin("nasty.executable")
    event = now()
    if how.startswith("revoke"):
        site.client.control.revoke([naive.task_id, ours[0].task_id], terminate=True, signal=how.split()[1])
    else:
        for each in (naive, *ours):
            os.kill(each.slot.pid, signal.SIGKILL)
    try:
        seconds_until_gone(tracks_of(ours, launchers=True, slots=True), event)
        wait_until(lambda: not naive.slot.lives(), "the end of the pool process")
        with pytest.raises(AssertionError, match=r"left .* s after the event"):
            seconds_until_gone(naive.tracks, event)
        left = naive.tracks.left()
        assert len([line for line in left if line.startswith("process")]) >= 4, (
            left
        )  # run() kills its child where it can
        assert [line for line in left if line.startswith("folder")] == [f"folder {naive.folder}: ['kept']"]
        # They would be found, too, if nobody had seen them before: by what they have open, and where they stand.
        assert set(users_of(naive.tracks.places)) >= naive.tracks.living()
    finally:
        kill_all(naive.tracks.living())
        (naive.folder / "kept").unlink()
        naive.folder.rmdir()
