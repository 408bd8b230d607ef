"""What runs in a process, what is noted not to run, and the way there from the main process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.worker import state as worker_state

from attune_tasks._celery import cancelled_ids, executions_here
from attune_tasks._celery.cancellable import execute_cancellable
from attune_tasks._celery.cancelling import CancelAnswer
from attune_tasks._celery.control import attune_cancel
from attune_tasks._celery.executions_here import ExecutionsHere
from attune_tasks.context import ExecutionRequest
from attune_tasks.ids import execution_id_of, ids_of, new_execution_id, task_id_of
from tests.unit.test_executor import Project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here() -> ExecutionsHere:
    return ExecutionsHere()


def test_what_runs_is_cancelled_with_its_first_reason_and_no_neighbour_is(here: ExecutionsHere) -> None:
    with here.running(1) as one, here.running(1) as again, here.running(2) as two:
        assert here.cancel(1, "revoked")
        assert here.cancel(1, "worker_shutdown")
        assert (one.requested, one.reason, again.requested, two.requested) == (True, "revoked", True, False)
    assert not here.runs(1)
    assert not here.cancel(2, "revoked")


def test_what_is_noted_does_not_run_later(here: ExecutionsHere) -> None:
    here.cancel(1, "cancelled")
    with here.running(1) as one, here.running(2) as two:
        assert (one.requested, two.requested) == (True, False)


def test_a_worker_that_ends_forbids_no_later_run(here: ExecutionsHere) -> None:
    here.cancel(1, "worker_shutdown")
    assert here.noted(1) is None


def test_notes_are_bounded_in_number_and_by_time(here: ExecutionsHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executions_here, "_NOTED_AT_MOST", 3)
    for number in range(1, 6):
        here.cancel(number, "cancelled")
    assert [number for number in range(1, 6) if here.noted(number)] == [3, 4, 5]
    monkeypatch.setattr(executions_here, "_NOTED_SECONDS", -1.0)
    here.cancel(5, "cancelled")
    assert here.noted(5) is None


def test_a_note_stands_among_celerys_revoked_ids_for_workers_that_start_later() -> None:
    number = new_execution_id()
    assert not cancelled_ids.is_noted(number)
    cancelled_ids.note(number)
    assert cancelled_ids.is_noted(number)
    assert f"attune_tasks.cancel:{number}" in worker_state.revoked
    other = new_execution_id()
    worker_state.revoked.add(f"attune_tasks.cancel:{other}")  # as another worker hands it on
    assert cancelled_ids.is_noted(other)


@pytest.mark.parametrize("wrong", ["0", "-1", "x", "", str(1 << 63), None])
def test_the_control_command_refuses_what_is_no_execution_id(wrong: Any) -> None:
    assert "error" in attune_cancel(None, execution_id=wrong)


_FORKS = """
import os, select
from attune_tasks._celery.executions_here import ExecutionsHere
from attune_tasks._celery.pool_channels import PoolChannels

executions = ExecutionsHere()
channels = PoolChannels(executions)
channels.open()
executions.cancel(7, "cancelled")  # before the fork
pools = []
for index in range(3):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        with executions.running(100 + index) as cancellation:
            known = executions.noted(7)
            if index != 2:
                channels.listen(lambda: os.write(writer, b" closed"))
                os.write(writer, b"ready")
                select.select([cancellation], [], [])
                os.write(writer, f" {known} {cancellation.reason} {len(channels._pools)}".encode())
        os._exit(0)
    os.close(writer)
    pools.append((pid, reader))
for pid, reader in pools[:2]:
    assert os.read(reader, 5) == b"ready"
os.waitpid(pools[2][0], 0)  # a pool process that has ended is no hindrance
for index, (pid, reader) in enumerate(pools[:2]):
    told = channels.send(100 + index, "revoked")
    print(told, os.read(reader, 100).decode())
    os.waitpid(pid, 0)
print(channels.send(1, "cancelled"), len(channels._pools))
channels.send_close()
"""


def test_each_pool_process_is_told_and_acts_upon_its_own_execution_alone() -> None:
    done = subprocess.run([sys.executable, "-c", _FORKS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["2  cancelled revoked 0", "1  cancelled revoked 0", "0 0"]


_CLOSE = """
import os, signal, sys, threading
from attune_tasks._celery.executions_here import ExecutionsHere
from attune_tasks._celery.pool_channels import PoolChannels

executions = ExecutionsHere()
channels = PoolChannels(executions)
channels.open()
said, never = threading.Event(), threading.Event()

def close():
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    sys.stdout.write(f"closes {signal.SIGTERM in signals}" + chr(10))  # in one write, also where it is unbuffered
    sys.stdout.flush()
    said.set()
    never.wait()  # as for a launcher that does not end at once

if not os.fork():
    with executions.running(5) as cancellation:
        channels.listen(close)
        while not cancellation.requested:
            pass
        said.wait(20)
        os._exit(0)
channels.send_close()
channels.send_close()
channels.send(5, "cancelled")
print(os.wait()[1])
"""


def test_a_pool_process_closes_once_beside_what_it_is_told_later() -> None:
    done = subprocess.run([sys.executable, "-c", _CLOSE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["closes True", "0"], "")


_SIGNALS = """
import os, signal, threading
from attune_tasks._celery.executions_here import ExecutionsHere
from attune_tasks._celery.pool_channels import PoolChannels
channels = PoolChannels(ExecutionsHere())
channels.open()
if not os.fork():
    channels.listen(os.abort)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # as billiard does while it holds a lock of the pool
    os.kill(os.getpid(), signal.SIGTERM)
    print("lives", signal.sigpending() == {signal.SIGTERM}, flush=True)
    os._exit(0)
print(os.wait()[1])
"""


def test_the_thread_that_listens_takes_no_signal_from_the_main_one() -> None:
    done = subprocess.run([sys.executable, "-c", _SIGNALS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["lives True", "0"], "")


@pytest.fixture
def soft_limit() -> Iterator[None]:
    """Have billiard's handler in place, by its name."""

    def soft_timeout_sighandler(*_: Any) -> None:
        pytest.fail("the handler that raises was called")

    before = signal.signal(signal.SIGUSR1, soft_timeout_sighandler)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("soft_limit")
def test_a_soft_time_limit_lets_the_action_end_and_keeps_its_output(tmp_path: Path) -> None:
    shop = Project(tmp_path)
    script = f"echo before\ntrap 'echo asked; exit 0' TERM\nsleep 60 &\nkill -USR1 {os.getpid()}\nwait\n"
    shop.action("limited", script, "", "shell")
    handler = signal.getsignal(signal.SIGUSR1)
    result = execute_cancellable(shop.executor(), ExecutionRequest(7, "shop.limited", {}))
    assert (result.status, result.stdout) == ("timed_out", "before\nasked\n")
    assert result.error
    assert result.error["type"] == "soft_time_limit"
    assert signal.getsignal(signal.SIGUSR1) is handler


def test_an_execution_that_was_noted_fetches_no_secret_and_starts_nothing(tmp_path: Path) -> None:
    shop = Project(tmp_path)
    shop.action("marking", f"touch {tmp_path}/started\n", "secrets: {gone: 'api#gone'}\n", "shell")
    number = new_execution_id()
    executions_here.EXECUTIONS.cancel(number, "cancelled")
    result = execute_cancellable(shop.executor(), ExecutionRequest(number, "shop.marking", {}))
    assert (result.status, result.started_at) == ("cancelled", None)
    assert not (tmp_path / "started").exists()


def test_a_cancellation_while_secrets_are_fetched_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Project(tmp_path)
    shop.action("marking", f"touch {tmp_path}/started\n", "", "shell")
    executor = shop.executor()
    number = new_execution_id()
    fetch = executor.secret_manager.fetch_secrets_for_action

    def fetch_and_cancel(*arguments: Any) -> Any:
        assert executions_here.EXECUTIONS.cancel(number, "cancelled")
        return fetch(*arguments)

    monkeypatch.setattr(executor.secret_manager, "fetch_secrets_for_action", fetch_and_cancel)
    result = execute_cancellable(executor, ExecutionRequest(number, "shop.marking", {}))
    assert (result.status, (tmp_path / "started").exists()) == ("cancelled", False)


def test_a_typed_id_is_an_execution_id_or_a_task_id() -> None:
    number = new_execution_id()
    assert ids_of(str(number)) == (number, task_id_of(number))
    assert ids_of(task_id_of(number)) == (number, task_id_of(number))
    for foreign in ("nightly-42", "0", str(1 << 63), "٣"):
        assert ids_of(foreign) == (execution_id_of(foreign), foreign)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (CancelAnswer("cancelling", ("a@b",)), "it is being ended by a@b"),
        (CancelAnswer("noted"), "it runs nowhere that is known; a worker that starts will not start it"),
        (CancelAnswer("ended"), "it had ended before"),
    ],
)
def test_an_answer_is_said_in_a_sentence(answer: CancelAnswer, said: str) -> None:
    assert str(answer) == said
