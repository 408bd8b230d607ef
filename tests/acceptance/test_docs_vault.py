"""docs/vault.md: each command on it, in its order, on real servers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from attune_tasks.settings import load_settings
from tests.acceptance.command import Command, eventually
from tests.acceptance.docs_terminal import Terminal, dev_server
from tests.docs_blocks import block
from tests.vault import StoredVault, Vault, free_port, start_stored

_ADDRESS = "127.0.0.1:8200"
_PRODUCTION = "https://vault.example.net:8200"


def test_on_your_own_machine(command: Command) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    vault = Vault(f"http://{address}", "root")
    terminal = Terminal(command, vault)
    with dev_server(block("vault-dev-server").replace(_ADDRESS, address), terminal, vault):
        terminal.type(block("vault-dev-secrets").replace(_ADDRESS, address))
        terminal.configure(block("vault-dev-settings"), {_ADDRESS: address})
        said = terminal.type(block("vault-dev-run"))
    assert re.search(r"key +hello/api#greeting_key +found", said)
    assert re.search(
        rf"ok +provider +vault: http://{address} \S+, unsealed, active; .*we are token \(policies: root\)", said
    )
    assert "hello.greet succeeded" in said
    assert "made-up-for-now" not in said


@pytest.fixture
def production(command: Command, tmp_path: Path) -> Iterator[tuple[StoredVault, Terminal]]:
    """Give a server with TLS, and a project with its role, made as the page says."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = start_stored(folder, tls=True)
    try:
        terminal = Terminal(command, server.vault)
        terminal.type("$ attune-tasks init shop\n$ cd shop")
        root = server.vault.root
        root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        eventually(lambda: put(server.vault, "hello/api", {"greeting_key": "made-up-for-now"}))
        eventually(lambda: put(server.vault, "other/api", {"key": "of-another-pack"}))
        (terminal.folder / "hello.hcl").write_text(block("vault-policy"), encoding="utf-8")
        role_id = terminal.type(block("vault-approle")).splitlines()[-1]
        terminal.type(block("vault-secret-id"))
        changes = {
            _PRODUCTION: server.url,
            "/etc/attune-tasks/vault-ca.pem": str(folder / "ca.pem"),
            "ROLE_ID": role_id,
        }
        terminal.configure(block("vault-approle-settings"), changes)
        (terminal.folder / "role-id").write_text(role_id, encoding="utf-8")
        yield server, terminal
    finally:
        server.stop()


def test_approle_as_in_production(production: tuple[StoredVault, Terminal]) -> None:
    server, terminal = production
    assert (terminal.folder / "secret-id").stat().st_mode & 0o777 == 0o600
    said = terminal.type(block("vault-approle-run"))
    assert f"ok    provider            vault: {server.url} " in said
    assert re.search(r"we are approle \(policies: default, hello\), whose token ends in (1 h 0|59) min", said)
    assert re.search(r"key +hello/api#greeting_key +found", said)
    greet = terminal.folder / "packs" / "hello" / "actions" / "greet.yaml"
    greet.write_text(greet.read_text().replace("hello/api#greeting_key", "other/api#key"), encoding="utf-8")
    refused = terminal.type("$ attune-tasks secrets check hello.greet", check=False)
    assert 'path "secret/data/other/api" { capabilities = ["read"] }' in refused


def test_a_secret_id_is_rotated_as_the_page_says(production: tuple[StoredVault, Terminal]) -> None:
    _, terminal = production
    old = (terminal.folder / "secret-id").read_text()
    terminal.type(block("vault-secret-id"))
    page = (Path(__file__).parents[2] / "docs" / "vault.md").read_text(encoding="utf-8")
    (destroy,) = re.findall(r"`(vault write \S+/destroy secret_id=-)`", page)
    terminal.type(f"$ {destroy}", stdin=old)
    assert "found" in terminal.type("$ attune-tasks secrets check hello.greet")
    (terminal.folder / "secret-id").write_text(old, encoding="utf-8")
    refused = terminal.type("$ attune-tasks secrets check hello.greet", check=False)
    assert "refuses the login by AppRole" in refused
    assert old not in refused


def test_with_an_agent(production: tuple[StoredVault, Terminal]) -> None:
    server, terminal = production
    config = block("vault-agent").replace(_PRODUCTION, server.url)
    (terminal.folder / "agent.hcl").write_text(config, encoding="utf-8")
    command = shlex.split(block("vault-agent-run").removeprefix("$ "))
    environment = {name: value for name, value in terminal.environment.items() if name != "VAULT_TOKEN"}
    found = shutil.which(command[0], path=environment["PATH"])
    assert found
    token = terminal.folder / "token"
    with (terminal.folder / "agent.log").open("wb") as log:
        agent = subprocess.Popen(
            [found, *command[1:]],
            cwd=terminal.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: token.exists() or agent.poll() is not None, 30)
        assert token.exists(), (terminal.folder / "agent.log").read_text(encoding="utf-8")
        assert token.stat().st_mode & 0o777 == 0o600
        terminal.configure(
            block("vault-agent-settings"), {f'"{_PRODUCTION}"': f'"{server.url}"\nca_file = "{server.ca_file}"'}
        )
        assert "found" in terminal.type("$ attune-tasks secrets check hello.greet")
    finally:
        agent.terminate()
        agent.wait(15)


def test_when_it_is_sealed(production: tuple[StoredVault, Terminal]) -> None:
    server, terminal = production
    server.seal()
    refused = terminal.type("$ attune-tasks secrets check hello.greet\n$ attune-tasks doctor", check=False)
    assert refused.count("is sealed: unseal it with `vault operator unseal`") == 2
    assert re.search(r"FAIL +provider +Vault 1\.\d+\.\d+ at \S+ is sealed", refused), "doctor says the version, too"
    status, unseal, doctor = block("vault-unseal").splitlines()
    assert "ended with 2" in terminal.type(f"{status} || echo ended with $?")
    ours, its = os.openpty()
    try:
        os.write(ours, server.unseal_key.encode() + b"\n")
        assert server.unseal_key not in terminal.type(unseal, stdin=its)
    finally:
        os.close(ours)
        os.close(its)
    eventually(lambda: server.vault.root.sys.read_health_status(method="GET", standby_ok=False).__class__ is dict)
    assert "unsealed, active" in terminal.type(doctor)


def test_the_settings_for_several_vaults_are_settings(tmp_path: Path) -> None:
    (tmp_path / "attune-tasks.toml").write_text(block("vault-several"), encoding="utf-8")
    vault = load_settings(environ={}, directory=tmp_path).settings.secrets.vault
    assert (
        set(vault.mounts)
        == {"kv-eu", "team/kv"}
        == set(tomllib.loads(block("vault-several"))["secrets"]["vault"]["mounts"])
    )
    from attune_tasks.secrets.references import parse_reference
    from attune_tasks.secrets.vault_options import read_options

    options = read_options(vault.as_options())
    text = "vault://kv-eu/hello/api#greeting_key"
    mount, path = options.locate(parse_reference(text, default_provider="vault"))
    assert (mount.server.url, path) == ("https://vault.eu.example.net:8200", "hello/api")
    assert os.fspath(mount.server.token_file or "") == "/run/vault-eu/token"
    assert text in (Path(__file__).parents[2] / "docs" / "vault.md").read_text(encoding="utf-8")


def put(vault: Vault, path: str, fields: Mapping[str, str]) -> bool:
    """Write a secret, where the engine is ready."""
    try:
        vault.put("secret", path, fields)
    except Exception:  # noqa: BLE001 - it upgrades itself
        return False
    return True
