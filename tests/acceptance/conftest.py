"""A command in a folder of its own, a pack to try it on, and a real worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command import Command
from tests.celery_worker import CeleryWorker, celery_worker_command, running_worker

SECRET = "s3cr3t-value-of-the-tests"

ACTIONS = {
    "ok": ("python", "def run(params):\n    print('said', get_secret('key'))\n    return params\n", "key"),
    "fail": ("shell", "echo before\nexit 7\n", None),
    "unlucky": ("python", "def run(params):\n    get_secret('gone')\n", "gone"),
    "wait": (
        "shell",
        "sleep 300 &\ntrap 'echo asked to end; exit 0' TERM\necho waiting >\"$ATTUNE_ACTION_FILE\"\nwait\n",
        None,
    ),
    "stubborn": ("shell", 'trap "" TERM\necho waiting >"$ATTUNE_ACTION_FILE"\nwhile :; do sleep 1; done\n', None),
}
PARAMETERS = """
parameters:
  text: {type: string}
  number: {type: integer}
  items: {type: array}
  anything: {}
  file: {type: string}
  token: {type: string, secret: true, allow: ["app/api#key", "app/api#other"]}
"""


@pytest.fixture
def command(tmp_path: Path) -> Command:
    folder, private = tmp_path / "work", tmp_path / "private"
    folder.mkdir()
    private.mkdir()
    return Command(folder, private)


@pytest.fixture
def project(command: Command) -> Command:
    """Give a command whose folder has settings, secrets and the pack `t`."""
    write_project(command.folder)
    return command


def write_project(folder: Path) -> None:
    """Write settings, secrets and the pack `t`."""
    (folder / "attune-tasks.toml").write_text('[secrets.file]\npath = "secrets.toml"\n', encoding="utf-8")
    secrets = folder / "secrets.toml"
    secrets.touch(mode=0o600)
    secrets.write_text(f'["app/api"]\nkey = "{SECRET}"\n', encoding="utf-8")
    actions = folder / "packs" / "t" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: t\nlabel: Tests\n", encoding="utf-8")
    for name, (runtime, code, secret) in ACTIONS.items():
        (actions / name).write_text(code, encoding="utf-8")
        lines = f"ref: t.{name}\nlabel: The action {name}\nrunner_type: {runtime}\nentry_point: {name}\n"
        if secret is not None:
            lines += f"secrets: {{{secret}: 'app/api#{secret}'}}\n"
        (actions / f"{name}.yaml").write_text(lines + PARAMETERS, encoding="utf-8")


@pytest.fixture(scope="module")
def with_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Give a command in a project for which a real prefork worker runs on the embedded default."""
    base = tmp_path_factory.mktemp("with-worker")
    folder, private = base / "work", base / "private"
    folder.mkdir()
    private.mkdir()
    command = Command(folder, private)
    write_project(folder)
    arguments = celery_worker_command("attune_tasks.app", "-P", "prefork", "-c", "2", "-l", "INFO", "--without-gossip")
    worker = CeleryWorker(arguments, folder, command.environment, private / "worker.log")
    with running_worker(worker, "prefork, for the command line, broker: embedded"):
        yield command
