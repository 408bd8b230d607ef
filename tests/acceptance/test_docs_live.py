"""What README and docs say of following an execution, done with a real worker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import attune_tasks
from attune_tasks.process import Batch, Supervision
from tests.acceptance.command import Command
from tests.docs_blocks import block
from tests.integration.live_place import LivePlace, make_live_place
from tests.integration.workers import ROOT, worker
from tests.redis_server import RedisServer
from tests.runs import run_script


class Kept:
    """A sink that keeps the last progress of each batch."""

    interval = 0.0
    batch_bytes = 1 << 15

    def __init__(self) -> None:
        """Have nothing."""
        self.messages: list[str] = []

    def ready(self) -> bool:
        """Say yes."""
        return True

    def send(self, batch: Batch) -> None:
        """Keep it."""
        self.messages += [batch.progress.message] if batch.progress else []

    def finish(self, batch: Batch) -> None:
        """Keep it."""
        self.send(batch)


@pytest.mark.parametrize(("runtime", "last"), [("python", "copying b"), ("shell", "packing it")])
def test_actions_tell_of_their_progress(runtime: str, last: str, tmp_path: Path) -> None:
    sink = Kept()
    parameters = {"files": ["a", "b"]} if runtime == "python" else {}
    result = run_script(
        runtime,
        tmp_path,
        block("progress-python") if runtime == "python" else block("progress-shell"),
        supervision=Supervision(live=sink),
        parameters=parameters,
    )
    assert result.succeeded, result
    assert sink.messages[-1] == last


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[LivePlace]:
    place = make_live_place(tmp_path_factory.mktemp("docs-live"), redis_server)
    with worker(place.place, "-P", "threads", "-c", "2", environ=place.environ):
        yield place


def test_the_loop_of_the_readme_prints_lines_and_progress(live: LivePlace, capsys: pytest.CaptureFixture[str]) -> None:
    handle = attune_tasks.enqueue("work.short", app=live.app())
    exec(block("readme-follow"), {"handle": handle})  # noqa: S102 - the README's own
    assert capsys.readouterr().out == "one line\n99% \n"


def test_the_page_on_operations_follows_by_command_and_by_program(live: LivePlace, command: Command) -> None:
    handle = attune_tasks.enqueue("work.short", app=live.app())
    command.environment |= live.environ | live.place.urls | {"PYTHONPATH": str(ROOT)}
    words = block("ops-logs").replace("3765572976814197536", str(handle.execution_id)).split()
    done = command.run(*words[2:])
    assert (words[:2], done.returncode, done.stdout) == (["$", "attune-tasks"], 0, "one line\n"), done.stderr
    program = f"import attune_tasks.app\ntask_id = {handle.task_id!r}\n" + block("ops-follow")
    shown = subprocess.run(
        [sys.executable, "-c", program], env=command.environment, capture_output=True, text=True, check=True
    ).stdout
    assert [json.loads(line.replace("'", '"'))["type"] for line in shown.splitlines()] == ["output", "progress", "end"]
