"""An example as its users start it: ``make example-…``, and Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from attune_tasks.proc import below, started
from tests.docs_blocks import ROOT
from tests.processes import alive, carrying
from tests.vault import Vault, client_of
from tests.waiting import wait_until

__all__ = ["Example", "killed_example", "running_example"]

_START_SECONDS: Final = 240.0  # two cores with much else to do took 98
_END_SECONDS: Final = 30.0
_READY: Final = "Ctrl-C ends all of it"


@dataclass(frozen=True)
class Example:
    """What `make` has printed, and where it keeps its files."""

    site: str
    """The address that it names."""
    flower: str
    passwords: Mapping[str, str] = field(repr=False)
    secrets_in: str
    folder: Path

    @property
    def port(self) -> int:
        """The site's port."""
        return _port(self.site)

    @property
    def flower_port(self) -> int:
        """Flower's port."""
        return _port(self.flower)

    def secrets(self) -> dict[str, str]:
        """Give what must turn up nowhere: the actions' secrets, and the broker's password."""
        settings = tomllib.loads((self.folder / "attune-tasks.toml").read_text(encoding="utf-8"))
        password = re.search(r":([^:@/]+)@", settings["broker_url"])
        assert password
        stored = self._from_vault(settings["secrets"]["vault"]) if "vault" in settings["secrets"] else self._from_file()
        found = {f"{path}#{name}": value for path, fields in stored.items() for name, value in fields.items()}
        return {**found, "broker": password[1]}

    def _from_file(self) -> dict[str, dict[str, str]]:
        return tomllib.loads((self.folder / "secrets.toml").read_text(encoding="utf-8"))

    def _from_vault(self, settings: Mapping[str, str]) -> dict[str, dict[str, str]]:
        token = Path(settings["token_file"]).read_text(encoding="utf-8")
        client = client_of(Vault(settings["url"], token), token)
        kv: Any = client.secrets.kv
        read = kv.v2.read_secret_version("ops/deploy", mount_point="secret", raise_on_deleted_version=True)
        client.session.close()
        return {"ops/deploy": read["data"]["data"]}

    def logs(self) -> str:
        """Give all its logs."""
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(encoding='utf-8', errors='replace')}" for path in logs)


@contextmanager
def killed_example(kind: str, log: Path) -> Iterator[dict[int, int | None]]:
    """Start an example, and kill what started it by SIGKILL; give what was below that: pids, and when each started."""
    command = [sys.executable, str(ROOT / "examples" / "start.py"), kind, "--secrets", "file", "--port", "0"]
    with log.open("wb") as output:
        start = subprocess.Popen(
            [*command, "--flower-port", "0"], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: _READY in log.read_text() or start.poll() is not None, "that it is ready", _START_SECONDS)
        assert start.poll() is None, log.read_text()
        tree = {each.pid: started(each.pid) for each in below(start.pid)}
        start.kill()
        start.wait()
        yield tree
        shutil.rmtree(_read(log.read_text()).folder)  # which nobody was left to do
    finally:
        if start.poll() is None:
            start.terminate()
            start.wait(_END_SECONDS)


@contextmanager
def running_example(kind: str, options: str, log: Path, path: str | None = None) -> Iterator[Example]:
    """Start an example; end it as a terminal's Ctrl-C does, and see that nothing of it is left.

    `path` is its PATH, where that is not the tests' own.
    """
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    environ = {name: value for name, value in os.environ.items() if name in kept} | ({"PATH": path} if path else {})
    command = ["make", "--no-print-directory", f"example-{kind}", f"EXAMPLE=--port 0 --flower-port 0 {options}"]
    with log.open("wb") as output:
        make = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def said() -> str:
        return log.read_text(encoding="utf-8")

    try:
        wait_until(lambda: _READY in said() or make.poll() is not None, "that the example is ready", _START_SECONDS)
        assert make.poll() is None, said()
        example = _read(said())
        yield example
        assert make.poll() is None, said()
        tree = {each.pid: started(each.pid) for each in below(make.pid)}
        assert len(tree) > 5, tree  # Redis, beat, Flower, the site, and a worker of several processes
        os.killpg(make.pid, signal.SIGINT)  # a terminal tells the whole group
        make.wait(_END_SECONDS)
        assert "Ending all of it" in said()
        assert [pid for pid, since in tree.items() if alive(pid) and started(pid) == since] == []
        assert carrying(str(example.folder)) == []
        assert not example.folder.exists()
    finally:
        if make.poll() is None:
            os.killpg(make.pid, signal.SIGTERM)
            make.wait(_END_SECONDS)


def _read(text: str) -> Example:
    def after(label: str) -> str:
        found = re.search(rf"^{label}: +(.*)$", text, re.MULTILINE)
        assert found, text
        return found[1]

    passwords = dict(re.findall(r"(\w+), password (\S+), who", text))
    assert sorted(passwords) == ["ada", "bob"]
    return Example(after("The site"), after("Flower"), passwords, after("Secrets"), Path(after("Logs")).parent)


def _port(address: str) -> int:
    found = re.search(r":(\d+)/", address)
    assert found
    return int(found[1])
