"""``run``, ``enqueue --wait`` and ``logs -f`` while an action runs: on a terminal, and by pipes."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.command import Command, communicate, eventually
from tests.acceptance.conftest import SECRET, write_project
from tests.acceptance.terminal import Terminal, screen
from tests.celery_worker import CeleryWorker, celery_worker_command, running_worker
from tests.redis_server import RedisServer

STEPS = """
import pathlib, sys, time
def run(params):
    for number in (1, 2):
        print("out", number, get_secret("key"), flush=True)
        print("err", number, file=sys.stderr, flush=True)
        set_progress(40 * number, f"step {number} {get_secret('key')}")
        while not pathlib.Path(f"{params['file']}-{number}").exists():
            time.sleep(0.01)
    return number
"""
ALL_OUT = "out 1 ***\nout 2 ***\n"


def add_steps(folder: Path) -> None:
    actions = folder / "packs" / "t" / "actions"
    (actions / "steps").write_text(STEPS, encoding="utf-8")
    (actions / "steps.yaml").write_text(
        "ref: t.steps\nrunner_type: python\nentry_point: steps\nsecrets: {key: 'app/api#key'}\n"
        "parameters: {file: {type: string}}\n",
        encoding="utf-8",
    )


@pytest.fixture
def steps(project: Command) -> Command:
    """Give a project with an action that goes on step by step."""
    add_steps(project.folder)
    return project


@contextmanager
def a_worker(base: Path, name: str, environ: dict[str, str]) -> Iterator[Command]:
    """Give a command in a project for which a real prefork worker runs."""
    folder, private = base / "work", base / "private"
    folder.mkdir()
    private.mkdir()
    command = Command(folder, private)
    command.environment |= environ
    write_project(folder)
    add_steps(folder)
    arguments = celery_worker_command("attune_tasks.app", "-P", "prefork", "-c", "2", "-l", "INFO", "--without-gossip")
    worker = CeleryWorker(arguments, folder, command.environment, private / "worker.log")
    with running_worker(worker, f"prefork, for the command line, broker: {name}"):
        yield command


@pytest.fixture(scope="module")
def with_redis(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Command]:
    url = redis_server.url(redis_server.new_database())
    environ = {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}
    with a_worker(tmp_path_factory.mktemp("live-redis"), "redis", environ) as command:
        yield command


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with a_worker(tmp_path_factory.mktemp("live-embedded"), "embedded", {}) as command:
        yield command


def let_it_end(file: Path) -> None:
    for number in (1, 2):
        Path(f"{file}-{number}").touch()


def test_running_shows_output_and_a_bar_on_a_terminal(steps: Command, tmp_path: Path) -> None:
    file = tmp_path / "go"
    terminal = Terminal(steps, "run", "t.steps", "-p", f"file={file}")
    terminal.read_until(lambda written: "40%" in written)
    assert screen(terminal.written) == "out 1 ***\nerr 1\n" + "█" * 8 + "░" * 12 + "  40%  step 1 ***"
    assert "\x1b[36m" in terminal.written
    Path(f"{file}-1").touch()
    terminal.read_until(lambda written: "80%" in written)
    Path(f"{file}-2").touch()
    assert terminal.end() == 0
    shown = screen(terminal.written)
    assert shown.startswith("out 1 ***\nerr 1\nout 2 ***\nerr 2\nattune-tasks: t.steps succeeded in ")
    assert shown.endswith("; result 2\n")
    assert SECRET not in terminal.written


def test_running_by_pipes_shows_lines_as_they_come_and_nothing_moves(steps: Command, tmp_path: Path) -> None:
    file = tmp_path / "go"
    process = steps.start("run", "t.steps", "-p", f"file={file}")
    assert process.stdout
    assert process.stdout.readline() == "out 1 ***\n"  # while it runs
    assert process.poll() is None
    let_it_end(file)
    stdout, stderr = communicate(process)
    assert stdout == "out 2 ***\n"
    assert stderr.startswith("err 1\nattune-tasks: 40% step 1 ***\nerr 2\n")
    assert "\x1b" not in stderr + stdout
    assert "\r" not in stderr + stdout


def test_running_with_json_prints_the_result_and_nothing_else(steps: Command, tmp_path: Path) -> None:
    let_it_end(tmp_path / "go")
    done = steps.run("run", "t.steps", "-p", f"file={tmp_path / 'go'}", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["stdout"] == ALL_OUT


def test_a_terminal_that_is_stopped_does_not_keep_the_action_from_its_timeout(steps: Command, tmp_path: Path) -> None:
    (steps.folder / "packs" / "t" / "actions" / "steps").write_text(
        "def run(params):\n    open(params['file'], 'w').close()\n    while True:\n        print('x' * 1000)\n"
    )
    file = tmp_path / "begun"
    process = steps.start("run", "t.steps", "-p", f"file={file}", "--timeout", "1")
    eventually(file.exists)
    # Nobody reads its standard output, which is full by now: yet no process of the action outlives its timeout.
    eventually(lambda: not children_of(process.pid), 15)
    stdout, stderr = communicate(process)
    assert process.returncode == 124
    assert "bytes are left out here" in stderr
    assert stdout.endswith("x\n")


def children_of(pid: int) -> list[int]:
    """Give what runs below a process, but the launchers that wait."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            found += [int(folder.name), *children_of(int(folder.name))]
    return found[1:]  # the first one is the launcher itself


def test_waiting_shows_output_and_progress_as_they_come(with_redis: Command, tmp_path: Path) -> None:
    file = tmp_path / "go"
    process = with_redis.start("enqueue", "t.steps", "-p", f"file={file}", "--wait")
    assert process.stdout
    assert process.stdout.readline() == "out 1 ***\n"
    assert process.poll() is None
    let_it_end(file)
    stdout, stderr = communicate(process)
    assert (process.returncode, stdout) == (0, "out 2 ***\n")
    assert "err 1\nattune-tasks: 40% step 1 ***\n" in stderr
    assert stderr.count("err 2\n") == 1
    assert "result 2\n" in stderr


def test_what_runs_is_listed_with_its_progress(with_redis: Command, tmp_path: Path) -> None:
    file = tmp_path / "go"
    ids = json.loads(with_redis.run("enqueue", "t.steps", "-p", f"file={file}", "--json").stdout)

    def row() -> list[str]:
        lines = with_redis.run("ps", "--timeout", "0.3").stdout.splitlines()
        return [line for line in lines if line.startswith(ids["execution_id"]) and line.endswith("40 % step 1 ***")]

    (line,) = eventually(row)
    assert line.split()[1:3] == ["t.steps", "running"]
    executions = json.loads(with_redis.run("ps", "--json", "--timeout", "0.3").stdout)["executions"]
    (told,) = [each for each in executions if each["execution_id"] == ids["execution_id"]]
    assert (told["percent"], told["message"]) == (40.0, "step 1 ***")
    let_it_end(file)


def test_waiting_on_a_terminal_has_a_bar_and_ctrl_c_ends_the_waiting_only(with_redis: Command, tmp_path: Path) -> None:
    file = tmp_path / "go"
    terminal = Terminal(with_redis, "enqueue", "t.steps", "-p", f"file={file}", "--wait")
    terminal.read_until(lambda written: "40%" in written)
    assert screen(terminal.written).endswith("out 1 ***\nerr 1\n" + "█" * 8 + "░" * 12 + "  40%  step 1 ***")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert "the execution goes on as task" in screen(terminal.written)
    assert "█" not in screen(terminal.written)
    let_it_end(file)


def test_without_shared_state_waiting_shows_the_output_of_the_result(embedded: Command, tmp_path: Path) -> None:
    let_it_end(tmp_path / "go")
    done = embedded.run("enqueue", "t.steps", "-p", f"file={tmp_path / 'go'}", "--wait")
    assert (done.returncode, done.stdout) == (0, ALL_OUT)
    assert "err 1\nerr 2\nattune-tasks: t.steps succeeded" in done.stderr


def test_without_shared_state_following_says_so_in_one_line(embedded: Command) -> None:
    for options in ([], ["-f"]):
        done = embedded.run("logs", *options, "3765572976814197536")
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr == "attune-tasks: nothing can be followed, for there is no shared state: see state_url\n"
    assert "output can't be followed" in embedded.run("doctor").stdout


def test_following_by_either_id_shows_all_from_the_beginning(with_redis: Command, tmp_path: Path) -> None:
    file = tmp_path / "go"
    ids = json.loads(with_redis.run("enqueue", "t.steps", "-p", f"file={file}", "--json").stdout)
    eventually(lambda: "out 1" in with_redis.run("logs", ids["execution_id"]).stdout)
    done = with_redis.run("logs", ids["execution_id"])
    assert (done.returncode, done.stdout) == (0, "out 1 ***\n")
    assert done.stderr.endswith(f"attune-tasks: execution {ids['execution_id']} is running\n")
    terminal = Terminal(with_redis, "logs", "-f", ids["task_id"])
    terminal.read_until(lambda written: "40%" in written)
    let_it_end(file)
    assert terminal.end() == 0
    assert screen(terminal.written).startswith("out 1 ***\nerr 1\nout 2 ***\nerr 2\nattune-tasks: t.steps succeeded")
    late = with_redis.run("logs", "-f", ids["execution_id"])
    assert (late.returncode, late.stdout) == (0, ALL_OUT)
    events = [json.loads(line) for line in with_redis.run("logs", "--json", ids["execution_id"]).stdout.splitlines()]
    assert events[0] == {"type": "output", "stream": "stdout", "text": "out 1 ***\n", "dropped": 0}
    assert events[-1] == {"type": "end", "status": "succeeded"}


def test_ctrl_c_ends_the_following_and_not_the_execution(with_redis: Command, tmp_path: Path) -> None:
    file = tmp_path / "go"
    ids = json.loads(with_redis.run("enqueue", "t.steps", "-p", f"file={file}", "--json").stdout)
    process = with_redis.start("logs", "-f", ids["execution_id"])
    assert process.stdout
    assert process.stdout.readline() == "out 1 ***\n"
    _, stderr = with_redis.interrupt(process, signal.SIGINT)
    assert process.returncode == 130
    assert "no longer following; the execution goes on" in stderr
    assert "Traceback" not in stderr
    let_it_end(file)
    assert with_redis.run("logs", "-f", ids["execution_id"]).stdout == ALL_OUT


def test_what_the_stream_has_lost_is_shown_from_the_result(with_redis: Command, redis_server: RedisServer) -> None:
    ids = json.loads(with_redis.run("enqueue", "t.ok", "-p", "text=12", "--json").stdout)
    eventually(lambda: "succeeded" in with_redis.run("logs", "-f", ids["execution_id"]).stderr)
    database = int(with_redis.environment["CELERY_BROKER_URL"].rpartition("/")[2])
    with redis_server.client(database) as client:
        assert client.delete(f"attune:{{attune_tasks}}:live:{ids['execution_id']}") == 1
    done = with_redis.run("logs", "-f", ids["execution_id"])
    assert (done.returncode, done.stdout) == (0, "said ***\n")
