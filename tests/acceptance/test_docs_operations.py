"""docs/operations.md: each command and each example on it, with a real Redis in place of the one that it names."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attune_tasks._celery.worker_defaults import OWN_APP_DEFAULTS, WORKER_DEFAULTS
from attune_tasks.settings import load_settings
from tests.acceptance.command import Command, eventually
from tests.docs_blocks import ROOT, block
from tests.redis_server import RedisServer

_REDIS = "redis://localhost:6379/0"
_DATABASE = 10
_RECEIPT = {"name": "secret", "reference": "reference", "version": "version"}


class Project:
    """A project that ``init`` wrote, and a terminal in it."""

    def __init__(self, command: Command, server: RedisServer) -> None:
        """Write it. `server` stands for the Redis that the page names."""
        done = command.run("init", "shop")
        assert done.returncode == 0, done.stderr
        self.folder = command.folder / "shop"
        self.server = server
        tools = command.temporary / "tools"
        tools.mkdir()
        for name, module in {"attune-tasks": "attune_tasks.cli", "celery": "celery"}.items():
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', encoding="utf-8")
            (tools / name).chmod(0o755)
        path = f"{tools}:{command.environment['PATH']}"
        self.environment = {**command.environment, "PATH": path, "PYTHONPATH": str(ROOT)}

    def placed(self, text: str) -> str:
        """Put the tests' server in place of the page's."""
        server = text.replace(_REDIS, self.server.url(_DATABASE))
        return server.replace("-h localhost -p 6379 -n 0", f"-h 127.0.0.1 -p {self.server.port} -n {_DATABASE}")

    def set(self, *names: str) -> None:
        """Put these blocks into the settings, at their beginning or their end, as TOML has it."""
        path = self.folder / "attune-tasks.toml"
        for name in names:
            text = self.placed(block(name))
            heading = text.find("[")
            top, tables = (text, "") if heading < 0 or "\n[" not in f"\n{text}" else _split(text)
            path.write_text(f"{top}\n{path.read_text(encoding='utf-8')}\n{tables}", encoding="utf-8")

    def type(self, lines: str) -> str:
        """Type the lines that begin with `$`, which must succeed; give all that is printed."""
        code, said = self.typed(lines)
        assert code == 0, said
        return said

    def ask(self, lines: str) -> str:
        """Type lines that ask workers, until they answer: Celery's commands wait for a second."""
        return eventually(lambda: (answer := self.typed(lines))[0] == 0 and answer[1], 60) or ""

    def typed(self, lines: str) -> tuple[int, str]:
        """Type the lines; give the exit code and all that is printed."""
        commands = [line.removeprefix("$ ") for line in self.placed(lines).splitlines() if line.startswith("$ ")]
        script = "\n".join(["set -e", "exec 2>&1", *commands])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout

    @contextmanager
    def running(self, line: str) -> Iterator[subprocess.Popen[bytes]]:
        """Type a line that starts a worker, and go on when it is ready."""
        log = self.folder / "worker.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line.removeprefix('$ ')} --without-mingle --loglevel INFO --pidfile worker.pid"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            eventually(lambda: process.poll() is not None or " ready." in log.read_text(encoding="utf-8"), 30)
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def conf(self, *names: str) -> dict[str, Any]:
        """Give Celery settings of the ready-made app, as it is in this project."""
        code = f"import json; from attune_tasks.app import app; print(json.dumps([app.conf[n] for n in {names!r}]))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.folder, env=self.environment, capture_output=True, check=True
        )
        return dict(zip(names, json.loads(done.stdout), strict=True))


def _split(text: str) -> tuple[str, str]:
    top, _, tables = f"\n{text}".partition("\n[")
    return top, f"[{tables}"


@pytest.fixture
def project(command: Command, redis_server: RedisServer) -> Project:
    with redis_server.client(_DATABASE) as client:
        client.flushdb()
    made = Project(command, redis_server)
    made.set("ops-settings")
    return made


def greet(project: Project) -> dict[str, Any]:
    shown = project.type("$ attune-tasks enqueue hello.greet -p name=Ada --wait --json")
    found: dict[str, Any] = json.loads(shown.splitlines()[-1])
    return found


def test_a_worker_starts_as_the_page_says_and_stops_warm_and_tools_see_it(project: Project) -> None:
    doctor, start = block("ops-start").splitlines()
    assert "FAIL" not in project.type(doctor)
    with project.running(start) as process:
        assert greet(project)["status"] == "succeeded"
        shown = project.ask(block("ops-monitor"))
        assert re.search(r"1 node online\.", shown)
        assert '"max-concurrency": 2' in shown
        assert shown.splitlines()[-1] == "0"
        project.type(block("ops-stop"))
        assert process.wait(15) == 0
    assert "Warm shutdown" in (project.folder / "worker.log").read_text(encoding="utf-8")


def test_an_execution_is_cancelled_and_launchers_are_listed_as_the_page_says(project: Project) -> None:
    actions = project.folder / "packs" / "hello" / "actions"
    (actions / "sleep.yaml").write_text("ref: hello.sleep\nrunner_type: shell\nentry_point: sleep.sh\n")
    (actions / "sleep.sh").write_text("sleep 60\n")
    _, start = block("ops-start").splitlines()
    with project.running(start):
        command, nothing, empty, header, row = block("ops-ps").splitlines()
        greet(project)
        shown = project.type(command).splitlines()
        assert [shown[0], shown[1], shown[2].split()] == [nothing, empty, header.split()]
        assert {len(line.split()) for line in shown[3:]} == {len(row.split())}
        typed, program = block("ops-cancel"), block("ops-cancel-handle")
        for is_typed in (True, False):
            ids = json.loads(project.type("$ attune-tasks enqueue hello.sleep --json"))
            eventually(lambda: "busy" in project.type(command))
            if is_typed:
                said = project.type(re.sub(r"\d{19}", ids["execution_id"], typed))
                assert "it is being ended by celery@" in said
            else:
                text = f"task_id = {ids['task_id']!r}\n{program}"
                (project.folder / "cancel.py").write_text(text, encoding="utf-8")
                assert project.type(f"$ {sys.executable} cancel.py") == "cancelling\n"
            eventually(lambda: "busy" not in project.type(command))


def test_the_second_enqueue_with_a_key_is_the_first_as_the_page_says(project: Project) -> None:
    code = "from attune_tasks.app import app; app.set_current()\n" + block("ops-idempotency")
    (project.folder / "twice.py").write_text(code, encoding="utf-8")
    assert project.type(f"$ {sys.executable} twice.py") == ""


def test_the_example_of_celery_settings_is_in_force(project: Project) -> None:
    project.set("ops-celery-settings")
    assert project.conf("worker_prefetch_multiplier", "result_expires") == {
        "worker_prefetch_multiplier": 4,
        "result_expires": 172800,
    }


def test_the_example_of_an_own_app_runs_with_what_it_sets(project: Project) -> None:
    (project.folder / "shop.py").write_text(project.placed(block("ops-own-app")), encoding="utf-8")
    project.environment["PYTHONPATH"] = f"{project.folder}:{ROOT}"
    with project.running("$ celery -A shop worker --concurrency 2 --queues greetings"):
        shown = project.type("$ attune-tasks -A shop:app enqueue hello.greet -p name=Ada --wait --json")
        assert json.loads(shown.splitlines()[-1])["status"] == "succeeded"
        stats = json.loads(project.ask("$ celery -A shop inspect stats --json"))
        (worker,) = stats.values()
        assert worker["prefetch_count"] == 8  # two processes, four messages for each


def test_the_audit_trail_is_a_file_of_its_own_as_the_page_sets_it_up(project: Project) -> None:
    text = project.placed(block("ops-own-app")) + block("ops-audit")
    (project.folder / "shop.py").write_text(text, encoding="utf-8")
    project.environment["PYTHONPATH"] = f"{project.folder}:{ROOT}"
    with project.running("$ celery -A shop worker --concurrency 2 --queues greetings --loglevel WARNING"):
        for _ in range(3):
            shown = project.type("$ attune-tasks -A shop:app enqueue hello.greet -p name=Ada --wait --json")
        result = json.loads(shown.splitlines()[-1])
    lines = (project.folder / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 3
    assert {tuple(record) for record in records} == {tuple(json.loads(block("ops-audit-line")))}
    assert (records[-1]["execution_id"], records[-1]["outcome"]) == (result["execution_id"], "read")
    assert result["receipts"] == [{name: records[-1][key] for name, key in _RECEIPT.items()}]
    assert "secret_read" not in (project.folder / "worker.log").read_text(encoding="utf-8")


def test_an_own_app_that_sets_nothing_gets_our_settings(project: Project) -> None:
    text = project.placed(block("ops-own-app")).replace("    worker_prefetch_multiplier=4,\n", "")
    (project.folder / "shop.py").write_text(text, encoding="utf-8")
    project.environment["PYTHONPATH"] = f"{project.folder}:{ROOT}"
    start = "$ celery -A shop worker --concurrency 2 --queues greetings"
    with project.running(start):
        (worker,) = json.loads(project.ask("$ celery -A shop inspect stats --json")).values()
        assert worker["prefetch_count"] == 2
        (conf,) = json.loads(project.ask("$ celery -A shop inspect conf --json")).values()
        assert conf["worker_send_task_events"] is True
        events = project.type("$ timeout --signal INT 5 celery -A shop events --dump || true")
        assert "sw_ident=py-celery" in events  # a heartbeat, each 2 s
    with project.running(f"{start} --prefetch-multiplier 4"):
        (worker,) = json.loads(project.ask("$ celery -A shop inspect stats --json")).values()
        assert worker["prefetch_count"] == 8


def test_a_queue_by_routes_is_served_by_the_worker_of_that_queue(project: Project) -> None:
    project.set("ops-routes")
    (start,) = block("ops-queue-worker").splitlines()
    with project.running(start):
        assert greet(project)["status"] == "succeeded"
        assert "greetings@" in project.ask("$ celery -A attune_tasks.app status")
    assert list(tomllib.loads(block("ops-routes"))["routes"].values()) == ["greetings", "slow"]


def test_the_example_of_a_visibility_timeout_satisfies_doctor_which_needs_it(project: Project) -> None:
    project.environment["ATTUNE_TASKS_CLAIMS__ENABLED"] = "false"  # with claims, nothing depends on it
    before = project.type("$ ATTUNE_TASKS_TIMEOUT=14400 attune-tasks doctor || true")
    assert "the broker's visibility timeout is 3600 s, and an action may run for 14400 s" in before
    project.set("ops-visibility")
    assert "43200 s, and no action runs longer than 14400 s" in project.type("$ attune-tasks doctor")


def test_signing_as_the_page_sets_it_up_and_changes_the_key(project: Project) -> None:
    project.type(block("ops-sign-key"))
    project.set("ops-sign-settings")
    command, _, line = block("ops-sign-doctor").splitlines()
    said = project.type(command)
    assert re.search("^" + ".*".join(map(re.escape, line.split("…"))) + "$", said, re.MULTILINE), said
    project.type(block("ops-sign-rotate"))
    (project.folder / "new").write_text((project.folder / "message-keys").read_text().splitlines()[1] + "\n")
    (project.folder / "new").chmod(0o600)
    _, start = block("ops-start").splitlines()
    with project.running(start):
        assert greet(project)["status"] == "succeeded"
        project.environment["ATTUNE_TASKS_MESSAGE_KEY_FILE"] = str(project.folder / "new")
        assert greet(project)["status"] == "succeeded"  # who has the new key alone is taken, too
        log = (project.folder / "worker.log").read_text(encoding="utf-8")
        assert log.count(" starts, caller=") == 2
        assert "claimed_by" not in log


def test_the_table_of_settings_has_those_that_are_set_and_their_values() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = text.partition("### A worker's Celery settings")[2].partition("\n\n")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", table))
    serializers = {name for name in OWN_APP_DEFAULTS if name.endswith("_serializer")}
    assert {*WORKER_DEFAULTS, *OWN_APP_DEFAULTS} - serializers <= named
    values: Mapping[str, Any] = WORKER_DEFAULTS
    assert (values["worker_prefetch_multiplier"], values["worker_soft_shutdown_timeout"]) == (1, 10.0)
    assert (values["redis_socket_timeout"], values["redis_backend_health_check_interval"]) == (30.0, 25)


def test_the_message_lifetime_is_as_the_page_says(tmp_path: Path) -> None:
    assert load_settings(environ={}, directory=tmp_path).settings.message_lifetime == 7 * 86400
