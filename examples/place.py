"""The private folder of a running example: settings, made-up secrets, logs and data. Removed at the end."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import hvac
import requests
from processes import NotStartedError, Processes, is_listening, port_or_free

# All that the processes take from the environment of who starts them.
_KEPT = ("PATH", "HOME", "LANG", "LC_", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "COVERAGE_")


class Place:
    """A folder which is nobody else's, and the environment of all that runs in it."""

    def __init__(self, checkout: Path) -> None:
        """Make the folder."""
        self.folder = Path(tempfile.mkdtemp(prefix="attune-tasks-example-"))
        self.logs, self.data = self.folder / "logs", self.folder / "data"
        for each in (self.logs, self.data, self.folder / "tmp"):
            each.mkdir()
        self._checkout = checkout
        self.settings_file = self.folder / "attune-tasks.toml"

    def environment(self) -> dict[str, str]:
        """Give the variables; none of them holds a secret."""
        kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
        return kept | {
            "PYTHONPATH": str(self._checkout),
            "TMPDIR": str(self.folder / "tmp"),
            "ATTUNE_TASKS_CONFIG": str(self.settings_file),
        }

    def write(self, name: str, text: str) -> Path:
        """Write a private file; give its path."""
        path = self.folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor: private from the start
            file.write(text)
        return path

    def start_redis(self, processes: Processes) -> str:
        """Start a Redis with a password; give its address."""
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            msg = "the example needs a Redis: apt-get install redis-server"
            raise NotStartedError(msg)
        port, password = port_or_free(0), secrets.token_urlsafe(24)
        lines = ("bind 127.0.0.1", f"port {port}", f"requirepass {password}", "maxmemory-policy noeviction", 'save ""')
        running = processes.start("redis", [program, "-"], self.data, typed="\n".join(lines))
        processes.wait(running, lambda: is_listening(port))
        return f"redis://:{password}@127.0.0.1:{port}/0"

    def write_settings(self, processes: Processes, url: str, references: Sequence[str], provider: str | None) -> str:
        """Make up a value for each reference, have it kept, write the settings; say where the values are.

        `provider`: ``vault`` or ``file``; None: Vault where its binary is at hand.
        """
        fields: dict[str, dict[str, str]] = {}
        for reference in references:
            path, _, field = reference.partition("#")
            fields.setdefault(path, {})[field] = secrets.token_urlsafe(24)
        vault = shutil.which("vault") or shutil.which("bao")
        if provider == "vault" and vault is None:
            msg = "there is neither vault nor bao on the PATH"
            raise NotStartedError(msg)
        if vault is not None and provider != "file":
            options, where = self._start_vault(processes, vault, fields), "a Vault"
        else:
            tables = (
                f'["{path}"]\n' + "".join(f'{name} = "{value}"\n' for name, value in each.items())
                for path, each in fields.items()
            )
            stored = self.write("secrets.toml", "".join(tables))
            options, where = f'provider = "file"\n[secrets.file]\npath = {json.dumps(str(stored))}\n', "a private file"
        self.write(
            self.settings_file.name,
            f"broker_url = {json.dumps(url)}\nresult_backend = {json.dumps(url)}\n[secrets]\n{options}",
        )
        return where

    def _start_vault(self, processes: Processes, program: str, fields: Mapping[str, Mapping[str, str]]) -> str:
        """Start a Vault in memory with the values; give the settings that read it, by a token which can do no more.

        Not by ``-dev``: that takes its root token as a variable or an argument, and prints it. This one stays here.
        """
        port = port_or_free(0)
        listener = f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n  tls_disable = true\n}}\n'
        config = self.write("vault.hcl", 'disable_mlock = true\nstorage "inmem" {}\n' + listener)
        running = processes.start("vault", [program, "server", f"-config={config}"], self.data, HOME=str(self.data))
        url = f"http://127.0.0.1:{port}"
        session = requests.Session()
        session.trust_env = False  # no proxy stands between this machine and itself
        client = hvac.Client(url=url, session=session)
        client.token = None  # whoever starts this may have one, of another Vault

        def is_ready(do: Callable[[], object]) -> bool:
            try:
                do()
            except (OSError, hvac.exceptions.VaultError):  # it starts, or makes its engine ready
                return False
            return True

        def store() -> None:
            for path, each in fields.items():
                client.secrets.kv.v2.create_or_update_secret(path, secret=dict(each), mount_point="secret")

        processes.wait(running, lambda: is_ready(client.sys.is_initialized))
        made = client.sys.initialize(secret_shares=1, secret_threshold=1)
        client.sys.submit_unseal_key(made["keys"][0])
        client.token = made["root_token"]
        processes.wait(running, lambda: is_ready(client.sys.list_mounted_secrets_engines))
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        processes.wait(running, lambda: is_ready(store))
        policy = "".join(f'path "secret/data/{path}" {{ capabilities = ["read"] }}\n' for path in fields)
        client.sys.create_or_update_policy("actions", policy)
        token = client.auth.token.create(policies=["actions"])["auth"]["client_token"]
        token_file = self.write("vault-token", token)
        return (
            f'provider = "vault"\n[secrets.vault]\nurl = "{url}"\nkv_version = 2\n'
            f"token_file = {json.dumps(str(token_file))}\n"
        )

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
