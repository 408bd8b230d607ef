"""docs/tutorial.md, from its beginning to its end: a real Vault, a real Redis, a real worker of an app of one's own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.command import Command
from tests.acceptance.docs_terminal import Terminal, as_pattern, dev_server
from tests.celery_worker import CeleryWorker, celery_worker_command, running_worker
from tests.docs_blocks import block
from tests.redis_server import RedisServer
from tests.vault import Vault, free_port

_VAULT = "127.0.0.1:8200"
_REDIS = "redis://localhost:6379/0"


@dataclass(frozen=True)
class Reader:
    """Who does what the page says, with other ports in place of those that it names."""

    terminal: Terminal
    addresses: dict[str, str]

    def text(self, said: str) -> str:
        """Give a block of the page with the addresses that are ours."""
        for before, after in self.addresses.items():
            said = said.replace(before, after)
        return said

    def write(self, said: str, *, end: bool = False) -> None:
        """Write a file which its first line names, or add to the one that is there."""
        name = said.splitlines()[0].removeprefix("# ")
        path = self.terminal.folder / (name if not end else "attune-tasks.toml")
        with path.open("a" if end else "x", encoding="utf-8") as file:
            file.write(self.text(said))

    def type(self, said: str, *, check: bool = True, seconds: float = 60) -> str:
        """Type the commands of a block, and see that they print what it says, where it says something."""
        printed = self.terminal.type(self.text(said), check=check, seconds=seconds)
        pattern = as_pattern(said)
        assert not pattern or re.fullmatch(pattern, printed), printed
        return printed


@pytest.fixture
def reader(command: Command, redis_server: RedisServer) -> Iterator[Reader]:
    """Give a reader who has got through the first two steps."""
    address = f"127.0.0.1:{free_port()}"
    vault = Vault(f"http://{address}", "root")
    terminal = Terminal(command, vault)
    made = Reader(terminal, {_VAULT: address, _REDIS: redis_server.url(redis_server.new_database())})
    *folder, venv, activate, install = block("tutorial-install").splitlines()
    made.type("\n".join(folder))
    assert terminal.folder.name == "reporting"
    assert (venv, activate) == ("$ python3 -m venv .venv", "$ . .venv/bin/activate")  # the tests' own stands in for it
    assert install == "$ pip install attune-tasks"
    with dev_server(made.text(block("tutorial-vault")), terminal, vault):
        made.type(block("tutorial-secret"))
        yield made


@pytest.mark.timeout(300)
def test_a_reader_gets_from_nothing_to_an_action_with_a_secret_from_vault(reader: Reader, tmp_path: Path) -> None:
    reader.type(block("tutorial-folders"))
    for file in (
        block("tutorial-pack"),
        block("tutorial-action"),
        block("tutorial-script"),
        block("tutorial-settings"),
        block("tutorial-app"),
        block("tutorial-ask"),
    ):
        reader.write(file)
    said = reader.type(block("tutorial-check"))
    said += reader.type(block("tutorial-run"))
    said += reader.type(block("tutorial-refused"), check=False)
    _, _, app, _, *arguments = shlex.split(block("tutorial-worker").removeprefix("$ "))
    terminal = reader.terminal
    command = celery_worker_command(app, *arguments)
    worker = CeleryWorker(command, terminal.folder, terminal.environment, tmp_path / "worker.log")
    with running_worker(worker, "prefork, of the tutorial, broker: redis"):
        said += reader.type(block("tutorial-asked"))
        said += reader.type(f"{block('tutorial-rotate').splitlines()[0]}\n")
        said += reader.type(block("tutorial-rotate").partition("\n")[2])
        reader.write(block("tutorial-leak-setting"), end=True)
        worker.start()
        table = reader.type(block("tutorial-leak-check"), seconds=180)
        said += table + worker.log()
    for surface in ("broker keys", "backend keys", "result", "log"):
        assert re.search(rf"^{surface} +clean", table, re.MULTILINE), table
    assert "LEAK" not in table
    for value in ("made-up-for-the-tutorial", "another-one-by-now"):
        assert value in block("tutorial-secret") + block("tutorial-rotate")
        assert value not in said
