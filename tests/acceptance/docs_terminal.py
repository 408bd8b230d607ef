"""A terminal in which what a page says is typed, with a Vault beside it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.command import Command, eventually
from tests.vault import Vault, client_of, vault_binary

__all__ = ["Terminal", "as_pattern", "dev_server"]


class Terminal:
    """A terminal in a folder, with `attune-tasks`, `python` and, where there is one, `vault` on its PATH."""

    def __init__(self, command: Command, vault: Vault | None = None) -> None:
        """Begin in the command's folder."""
        self.folder = command.folder
        self._template = ""
        self.environment = dict(command.environment)
        tools = command.temporary / "tools"
        tools.mkdir()
        if vault:
            self.environment |= {"VAULT_ADDR": vault.url, "VAULT_TOKEN": vault.token}
            (tools / "vault").symlink_to(vault_binary())
        if vault and vault.ca_file:
            self.environment["VAULT_CACERT"] = str(vault.ca_file)
        (tools / "attune-tasks").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m attune_tasks.cli "$@"\n')
        (tools / "attune-tasks").chmod(0o755)
        self.environment["PATH"] = f"{tools}:{Path(sys.executable).parent}:{self.environment['PATH']}"

    def type(self, lines: str, stdin: str | int = "", *, check: bool = True, seconds: float = 60) -> str:
        """Type the lines of a block that begin with `$`; give all that is printed, and stay in the last folder.

        `stdin` is text, or a terminal.
        """
        given: dict[str, Any] = {"input": stdin} if isinstance(stdin, str) else {"stdin": stdin}
        commands = [line[2:] for line in lines.splitlines() if line.startswith("$ ")]
        script = "\n".join(["set -e" if check else "", "exec 2>&1", *commands, "pwd >.now"])
        done: subprocess.CompletedProcess[str] = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            **given,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert done.returncode == 0, done.stdout
        found = next(iter(sorted(self.folder.rglob(".now"))))
        self.folder = Path(found.read_text().strip())
        found.unlink()
        return done.stdout

    def configure(self, settings: str, changes: Mapping[str, str]) -> None:
        """Write settings of the page under the headings of the project's own file, as a reader would."""
        for before, after in changes.items():
            assert before in settings
            settings = settings.replace(before, after)
        path = self.folder / "attune-tasks.toml"
        if not self._template:
            self._template = path.read_text(encoding="utf-8")
        tables = re.split(r"^(?=\[)", self._template, flags=re.MULTILINE)
        for table in re.split(r"^(?=\[)", settings, flags=re.MULTILINE)[1:]:
            heading, lines = table.split("\n", 1)
            (place,) = (number for number, each in enumerate(tables) if each.startswith(f"{heading}\n"))
            for name in tomllib.loads(lines):
                tables[place] = re.sub(rf"^{name} = .*\n", "", tables[place], flags=re.MULTILINE)
            tables[place] = tables[place].replace(f"{heading}\n", f"{heading}\n{lines}", 1)
        path.write_text("".join(tables), encoding="utf-8")
        path.chmod(0o600)


def as_pattern(console: str) -> str:
    """Give a regular expression for what a block's commands print: ``…`` is anything, and a line of it any lines."""
    printed = [line for line in console.splitlines() if not line.startswith("$ ")]
    return "".join("(?s:.*)" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n" for line in printed)


@contextmanager
def dev_server(line: str, terminal: Terminal, vault: Vault) -> Iterator[None]:
    """Run the server that a page's line starts, until it answers at `vault` and until the end."""
    server = subprocess.Popen(
        ["bash", "-c", f"exec {line.removeprefix('$ ')}"],
        env=terminal.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: server.poll() is not None or _answers(vault), 30)
        assert server.poll() is None, "the server has ended"
        yield
    finally:
        server.terminate()
        server.wait(15)


def _answers(vault: Vault) -> bool:
    """Tell whether a server is up, with its engine upgraded."""
    try:
        return bool(client_of(vault, vault.token).secrets.kv.v2.read_configuration(mount_point="secret"))
    except Exception:  # noqa: BLE001 - whatever it is, it is not up
        return False
