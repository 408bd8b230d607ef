"""Real Vault servers for the tests: one that is shared, and others which a test may seal, stop and make wait."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import hvac
import pytest
import requests

from tests.servers import used_server
from tests.vault_binary import ADDRESS, TOKEN, VaultMissingError, ensure_binary

__all__ = [
    "AppRole",
    "StoredVault",
    "Vault",
    "VaultProcess",
    "client_of",
    "free_port",
    "make_ca",
    "policy_for",
    "start_dev",
    "start_stored",
    "unique",
    "vault",
    "vault_binary",
]

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0


def unique(prefix: str) -> str:
    """Give a name that no other test uses on a server which they share."""
    return f"{prefix}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Vault:
    """A server, and its root's token."""

    url: str
    token: str = field(repr=False)
    ca_file: Path | None = None

    @property
    def root(self) -> hvac.Client:
        """Give a client which may do everything."""
        return client_of(self, self.token)

    def kv(self, version: int = 2) -> str:
        """Make a KV engine of its own for a test; give where it is mounted."""
        mount = unique(f"kv{version}")
        root = self.root
        root.sys.enable_secrets_engine("kv", path=mount, options={"version": str(version)})
        deadline = time.monotonic() + 10
        while version == 2:  # the engine upgrades itself, and refuses us meanwhile
            try:
                root.secrets.kv.v2.read_configuration(mount_point=mount)
                break
            except hvac.exceptions.VaultError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        return mount

    def put(self, mount: str, path: str, fields: Mapping[str, object], version: int = 2) -> None:
        """Write a secret."""
        kv: Any = self.root.secrets.kv
        if version == 1:
            kv.v1.create_or_update_secret(path, secret=fields, mount_point=mount)
        else:
            kv.v2.create_or_update_secret(path, secret=fields, mount_point=mount)

    def policy(self, *paths: str) -> str:
        """Make a policy that lets read `paths`; give its name."""
        name = unique("policy")
        self.root.sys.create_or_update_policy(name, policy_for(*paths))
        return name

    def new_token(self, *policies: str, **options: Any) -> str:
        """Make a token with these policies."""
        made: str = self.root.auth.token.create(policies=list(policies), **options)["auth"]["client_token"]
        return made

    def approle(self, *policies: str, **options: Any) -> AppRole:
        """Make a role in an auth method of its own."""
        mount, name = unique("approle"), unique("role")
        root = self.root
        root.sys.enable_auth_method("approle", path=mount)
        role = root.auth.approle
        role.create_or_update_approle(name, token_policies=list(policies), mount_point=mount, **options)
        role_id = role.read_role_id(name, mount_point=mount)["data"]["role_id"]
        return AppRole(self, mount, name, role_id)


@dataclass(frozen=True)
class AppRole:
    """A role of a server."""

    vault: Vault
    mount: str
    name: str
    role_id: str

    def new_secret_id(self) -> str:
        """Make a secret id."""
        made = self.vault.root.auth.approle.generate_secret_id(self.name, mount_point=self.mount)
        text: str = made["data"]["secret_id"]
        return text


def policy_for(*paths: str) -> str:
    """Give a policy's text."""
    return "\n".join(f'path "{path}" {{ capabilities = ["read"] }}' for path in paths)


def client_of(vault: Vault, token: str) -> hvac.Client:
    """Make a client with a token, for the tests' own doings."""
    session = requests.Session()
    session.trust_env = False
    verify = str(vault.ca_file) if vault.ca_file else True
    session.verify = verify
    if vault.ca_file:  # for servers that ask for it
        session.cert = (str(vault.ca_file.with_name("client.pem")), str(vault.ca_file.with_name("client.key")))
    return hvac.Client(url=vault.url, token=token, verify=verify, session=session, timeout=10)


class VaultProcess:
    """A Vault server as a process of our own."""

    def __init__(self, folder: Path, arguments: list[str], url: str, ca_file: Path | None = None) -> None:
        """Start nothing yet. `folder` gets its log."""
        self.url = url
        self.ca_file = ca_file
        self.folder = folder
        self.log_path = folder / "vault.log"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers, whatever it says."""
        command = [str(vault_binary()), "server", *self._arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self.log_path.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, self.log_path.read_text(encoding="utf-8")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, stopped or not."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it take connections, and answer nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        client = client_of(Vault(self.url, "", self.ca_file), "")
        try:
            client.sys.read_seal_status()
        except (OSError, hvac.exceptions.VaultError):
            return False
        finally:
            client.session.close()
        return True


class StoredVault(VaultProcess):
    """A server with its data in files, which can be sealed, stopped and started again."""

    def __init__(self, folder: Path, arguments: list[str], url: str, ca_file: Path | None) -> None:
        """Start, initialise and unseal it."""
        super().__init__(folder, arguments, url, ca_file)
        self.start()
        made = client_of(Vault(url, "", ca_file), "").sys.initialize(secret_shares=1, secret_threshold=1)
        self.unseal_key: str = made["keys"][0]
        self.vault = Vault(url, made["root_token"], ca_file)
        self.unseal()
        _note(self.vault, "data in files" + (", TLS" if ca_file else ""))

    def unseal(self) -> None:
        """Unseal it and wait until it serves."""
        root = self.vault.root
        root.sys.submit_unseal_key(self.unseal_key)
        deadline = time.monotonic() + _START_SECONDS
        while root.sys.read_health_status(method="GET", standby_ok=False).__class__ is not dict:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def seal(self) -> None:
        """Seal it."""
        self.vault.root.sys.seal()


def vault_binary() -> Path:
    """Give the binary; a test that needs one fails with one line where there is none."""
    try:
        return ensure_binary()
    except VaultMissingError as error:
        pytest.fail(str(error), pytrace=False)


def free_port() -> int:
    """Give a port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_dev(folder: Path) -> tuple[VaultProcess, Vault]:
    """Start a server in memory, as ``vault server -dev`` does."""
    port, token = free_port(), unique("root")
    arguments = ["-dev", "-dev-no-store-token", f"-dev-root-token-id={token}", f"-dev-listen-address=127.0.0.1:{port}"]
    process = VaultProcess(folder, arguments, f"http://127.0.0.1:{port}")
    process.start()
    return process, Vault(process.url, token)


def start_stored(folder: Path, *, tls: bool = False, client_ca: bool = False) -> StoredVault:
    """Start a server with its data in `folder`; with TLS, by a CA of its own, which is in ``ca.pem`` then."""
    port = free_port()
    listener = [f'address = "127.0.0.1:{port}"', "tls_disable = true"]
    if tls:
        make_ca(folder)
        listener[1] = f'tls_cert_file = "{folder}/server.pem"\n  tls_key_file = "{folder}/server.key"'
    if client_ca:
        listener.append(f'tls_require_and_verify_client_cert = true\n  tls_client_ca_file = "{folder}/ca.pem"')
    (folder / "vault.hcl").write_text(
        f'storage "file" {{\n  path = "{folder}/data"\n}}\nlistener "tcp" {{\n  {chr(10).join(listener)}\n}}\n'
        "disable_mlock = true\n",
        encoding="utf-8",
    )
    scheme = "https" if tls else "http"
    ca_file = folder / "ca.pem" if tls else None
    return StoredVault(folder, [f"-config={folder}/vault.hcl"], f"{scheme}://127.0.0.1:{port}", ca_file)


def make_ca(folder: Path) -> None:
    """Make ca.pem, and server.pem, server.key, client.pem and client.key signed by it."""
    folder.mkdir(exist_ok=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-x509", *curve, *usage, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={unique('ca')}")
    for name in ("server", "client"):
        names = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:false")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        openssl("req", "-x509", *curve, *names, *signed, "-subj", f"/CN={name}")


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Give a server that all tests share; each makes mounts, policies and roles of its own."""
    address = os.environ.get(ADDRESS)
    if address:
        token = os.environ.get(TOKEN)
        if not token:
            pytest.fail(f"{ADDRESS} is set: set {TOKEN}, too", pytrace=False)
        given = Vault(address, token)
        _note(given, "of your own")
        yield given
        return
    process, started = start_dev(tmp_path_factory.mktemp("vault"))
    try:
        _note(started, "-dev")
        yield started
    finally:
        process.stop()


def _note(vault: Vault, detail: str) -> None:
    version = vault.root.sys.read_health_status(method="GET")["version"]
    used_server("vault", re.sub(r"^v", "", version), detail)
