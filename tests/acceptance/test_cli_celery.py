"""``attune-tasks enqueue`` with a real prefork worker."""

from __future__ import annotations

import json
import signal

import pytest

from attune_tasks.ids import task_id_of
from tests.acceptance.command import Command, eventually
from tests.acceptance.conftest import SECRET


def test_enqueue_prints_the_ids_of_the_execution(with_worker: Command) -> None:
    done = with_worker.run("enqueue", "t.fail", "--json")
    assert done.returncode == 0, done.stderr
    ids = json.loads(done.stdout)
    assert ids["task_id"] == task_id_of(int(ids["execution_id"]))


def test_waiting_shows_the_output_and_ends_as_the_action_does(with_worker: Command) -> None:
    done = with_worker.run("enqueue", "t.ok", "-p", "text=12", "--wait")
    assert (done.returncode, done.stdout) == (0, "said ***\n"), done.stderr
    assert "t.ok succeeded" in done.stderr
    assert 'result {"text": "12"}' in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert with_worker.run("enqueue", "t.fail", "--wait").returncode == 1
    assert with_worker.run("enqueue", "t.unlucky", "--wait").returncode == 3


def test_waiting_with_json_prints_the_result_and_nothing_else(with_worker: Command) -> None:
    done = with_worker.run("enqueue", "t.ok", "--wait", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == "succeeded"


def test_a_timeout_ends_with_124(with_worker: Command) -> None:
    ready = with_worker.folder / "ready-timeout"
    done = with_worker.run("enqueue", "t.wait", "-p", f"file={ready}", "--timeout", "0.5", "--wait")
    assert done.returncode == 124, done.stderr


def test_ctrl_c_stops_the_waiting_only_and_says_so(with_worker: Command) -> None:
    ready = with_worker.folder / "ready-interrupted"
    process = with_worker.start("enqueue", "t.wait", "-p", f"file={ready}", "--timeout", "8", "--wait")
    eventually(lambda: ready.exists() and ready.read_text(encoding="utf-8"))
    _, stderr = with_worker.interrupt(process, signal.SIGINT)
    assert process.returncode == 130
    assert "the execution goes on as task" in stderr


def test_a_broker_that_is_not_there_ends_with_4_without_its_password(project: Command) -> None:
    (project.folder / "mine.py").write_text(
        "from celery import Celery\n"
        "app = Celery('mine', broker='redis://:pa55word-x@127.0.0.1:1/0', include=['attune_tasks.tasks'])\n",
        encoding="utf-8",
    )
    done = project.run("enqueue", "t.ok", env={"ATTUNE_TASKS_APP": "mine:app"})
    assert done.returncode == 4
    assert "attune-tasks doctor" in done.stderr
    assert "Traceback" not in done.stderr
    assert "pa55word" not in done.stdout + done.stderr


@pytest.mark.parametrize("which", ["execution_id", "task_id"])
def test_a_running_execution_is_cancelled_by_either_id(with_worker: Command, which: str) -> None:
    ready = with_worker.folder / f"ready-{which}"
    ids = json.loads(with_worker.run("enqueue", "t.wait", "-p", f"file={ready}", "--json").stdout)
    eventually(lambda: ready.exists() and ready.read_text(encoding="utf-8"))
    done = with_worker.run("cancel", ids[which])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"execution {ids['execution_id']}: it is being ended by celery@" in done.stdout
    eventually(lambda: "it had ended before" in with_worker.run("cancel", ids[which]).stdout)


def test_cancelling_what_has_ended_or_is_not_known_says_so(with_worker: Command) -> None:
    ids = json.loads(with_worker.run("enqueue", "t.fail", "--json").stdout)
    eventually(lambda: "ended" in with_worker.run("cancel", ids["execution_id"]).stdout)
    done = with_worker.run("cancel", "1234", "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert (said["execution_id"], said["task_id"], said["outcome"]) == ("1234", task_id_of(1234), "noted")


def test_the_launchers_are_listed(with_worker: Command) -> None:
    assert with_worker.run("enqueue", "t.ok", "--wait").returncode == 0
    done = with_worker.run("ps")
    said, header, *rows = [line for line in done.stdout.splitlines() if line]
    assert said == "no execution runs or waits"
    assert header.split() == ["WORKER", "PID", "PACK", "STATE", "AGE", "MEMORY"]
    assert rows
    assert all(row.split()[2:4] == ["t", "idle"] for row in rows)
    listed = json.loads(with_worker.run("ps", "--json").stdout)
    assert listed["executions"] == []
    assert {each["pack"] for each in listed["launchers"]} == {"t"}
    assert "launchers" in with_worker.run("doctor").stdout
    assert " in 1 worker, " in with_worker.run("doctor").stdout


def test_without_a_worker_ps_and_cancel_end_with_4(project: Command) -> None:
    for arguments in (("ps",), ("cancel", "1234")):
        done = project.run(*arguments, "--timeout", "0.2")
        assert done.returncode == 4
        assert "no worker answered" in done.stdout + done.stderr
