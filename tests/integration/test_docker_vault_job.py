"""docker/set_up_vault.py, the init job of compose.yaml, on a real Vault that nobody has initialized."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import hvac
import pytest

from tests.docs_blocks import ROOT
from tests.servers import used_server
from tests.vault import Vault, VaultProcess, client_of, free_port

PATH = "shop/payment"


@dataclass(frozen=True)
class Place:
    """A server, and the job with its files in a folder of the test's."""

    server: VaultProcess
    job: ModuleType
    folder: Path

    def client(self, token: str) -> hvac.Client:
        """Give a client of the server."""
        return client_of(Vault(self.server.url, token), token)

    @property
    def root(self) -> hvac.Client:
        """Give a client which may do everything."""
        return self.client(json.loads((self.folder / "keys.json").read_text(encoding="utf-8"))["token"])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    port = free_port()
    (tmp_path / "vault.hcl").write_text(
        f'disable_mlock = true\nstorage "file" {{\n  path = "{tmp_path}/data"\n}}\n'
        f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n  tls_disable = true\n}}\n',
        encoding="utf-8",
    )
    server = VaultProcess(tmp_path, [f"-config={tmp_path}/vault.hcl"], f"http://127.0.0.1:{port}")
    spec = importlib.util.spec_from_file_location("set_up_vault", ROOT / "docker" / "set_up_vault.py")
    assert spec
    assert spec.loader
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)
    for name, value in {
        "ADDRESS": server.url,
        "KEYS": tmp_path / "keys.json",
        "SECRET_ID": tmp_path / "secret-id",
        "SECRETS": tmp_path / "secrets.json",
    }.items():
        monkeypatch.setattr(job, name, value)
    job.SECRETS.write_text(json.dumps({PATH: {"api_key": "as-it-was-made"}}), encoding="utf-8")
    server.start()
    try:
        yield Place(server, job, tmp_path)
    finally:
        server.stop()


def test_the_worker_may_read_what_the_shop_needs_and_no_more(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.job.main()
    version = place.root.sys.read_health_status(method="GET")["version"]
    used_server("vault", version, "readied by docker/set_up_vault.py")
    for name in ("keys.json", "secret-id"):
        assert (place.folder / name).stat().st_mode & 0o777 == 0o600
    secret_id = (place.folder / "secret-id").read_text(encoding="utf-8")
    worker = place.client(place.client("").auth.approle.login("shop-worker", secret_id)["auth"]["client_token"])
    read = worker.secrets.kv.v2.read_secret_version(PATH, raise_on_deleted_version=True)
    assert read["data"]["data"] == {"api_key": "as-it-was-made"}
    place.root.secrets.kv.v2.create_or_update_secret("other", secret={"key": "not the shop's"})
    with pytest.raises(hvac.exceptions.Forbidden):
        worker.secrets.kv.v2.read_secret_version("other", raise_on_deleted_version=True)
    with pytest.raises(hvac.exceptions.Forbidden):
        worker.secrets.kv.v2.create_or_update_secret(PATH, secret={"api_key": "another"})
    assert capsys.readouterr().out == "Vault is set up: the role shop-worker may read secret/shop/\n"


def test_run_again_it_unseals_and_changes_nothing_that_is_there(place: Place) -> None:
    place.job.main()
    place.root.secrets.kv.v2.create_or_update_secret(PATH, secret={"api_key": "as-it-is-now"})
    secret_id = (place.folder / "secret-id").read_text(encoding="utf-8")
    place.server.stop()
    place.server.start()
    assert place.client("").sys.is_sealed()
    place.job.main()
    read = place.root.secrets.kv.v2.read_secret_version(PATH, raise_on_deleted_version=True)
    assert read["data"]["data"] == {"api_key": "as-it-is-now"}
    assert (place.folder / "secret-id").read_text(encoding="utf-8") == secret_id
    assert place.client("").auth.approle.login("shop-worker", secret_id)["auth"]["client_token"]
