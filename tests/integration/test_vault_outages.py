"""Vault down, stopped, sealed, slow, behind another certificate: clear errors, no child, and recovery by itself."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from attune_tasks import enqueue
from tests.integration.packs import SECRETS
from tests.integration.surfaces import captured_events, holds, read_folder
from tests.integration.vault_place import VALUE, VaultWorker, vault_worker, write_token
from tests.vault import StoredVault, make_ca, start_stored

SECONDS = 2.0
"""For fetching, so that an outage is told soon."""


@dataclass(frozen=True)
class Setup:
    """A worker, and the server that it needs."""

    worker: VaultWorker
    server: StoredVault
    kv: str
    ca_file: Path


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("vault-outages")
    server = start_stored(tmp_path_factory.mktemp("server"), tls=True)
    try:
        vault = server.vault
        vault.root.sys.enable_audit_device("file", options={"file_path": str(server.folder / "audit.log")})
        kv = vault.kv()
        vault.put(kv, "app/api", {"key": VALUE})
        vault.put(kv, "work/api", SECRETS)
        role = vault.approle(vault.policy(f"{kv}/data/*"), token_ttl="1h")
        secret_id = role.new_secret_id()
        ca_file = folder / "trusted.pem"
        shutil.copy(server.folder / "ca.pem", ca_file)
        settings = {
            "url": vault.url,
            "mount": kv,
            "ca_file": ca_file,
            "approle": {
                "role_id": role.role_id,
                "secret_id_file": write_token(folder / "secret-id", secret_id),
                "mount": role.mount,
            },
        }
        with vault_worker(folder, settings, {"tell": "app/api#key"}, seconds=SECONDS) as worker:
            worker.kept_secret |= {vault.token, secret_id, *SECRETS.values()}
            yield Setup(worker, server, kv, ca_file)
    finally:
        server.stop()


def test_vault_over_tls_by_a_ca_of_our_own(setup: Setup) -> None:
    setup.worker.works("tell")


def test_vault_down(setup: Setup) -> None:
    setup.worker.works("tell")
    setup.server.stop()
    try:
        setup.worker.refused("tell", f"no connection to Vault at {setup.server.url} (Connection refused)")
    finally:
        setup.server.start()
        setup.server.unseal()
    setup.worker.works("tell")


def test_vault_stopped_in_its_tracks(setup: Setup) -> None:
    setup.worker.works("tell")
    started = time.monotonic()
    with setup.server.frozen():
        setup.worker.refused("tell", f"Vault at {setup.server.url} did not answer in time")
    assert time.monotonic() - started < SECONDS + 5
    setup.worker.works("tell")


def test_vault_slow_but_within_the_deadline_is_waited_for(setup: Setup) -> None:
    setup.worker.works("tell")
    with setup.server.frozen():
        handle = setup.worker.start("tell")
        time.sleep(1)  # so slow it is; there is no condition to wait for
        assert handle.status() in {"pending", "running"}
    assert handle.result(timeout=30).status == "succeeded"


def test_vault_sealed(setup: Setup) -> None:
    setup.worker.works("tell")
    setup.server.seal()
    try:
        setup.worker.refused("tell", "is sealed: unseal it with `vault operator unseal`")
    finally:
        setup.server.unseal()
    setup.worker.works("tell")


def test_vault_that_is_sealed_and_unsealed_within_the_deadline_is_not_noticed(setup: Setup) -> None:
    setup.server.seal()
    timer = threading.Timer(0.7, setup.server.unseal)
    timer.start()
    setup.worker.works("tell")
    timer.join()


def test_the_certificate_of_another_ca(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other-ca")
    make_ca(other)
    with vault_worker(
        tmp_path_factory.mktemp("other-worker"),
        {"url": setup.server.url, "ca_file": other / "ca.pem", "token": "hvs.never-sent"},
        {"tell": "app/api#key"},
        seconds=SECONDS,
    ) as worker:
        worker.kept_secret.add("hvs.never-sent")
        worker.refused("tell", "is not to be trusted", "secrets.vault.ca_file")


def test_no_surface_holds_a_secret_and_the_audit_log_has_hashes_only(setup: Setup) -> None:
    client = setup.worker.place.client()
    setup.worker.works("tell")
    with captured_events(client) as events:
        handles = [enqueue("work.tell", {"fail": fail}, app=client) for fail in (False, True)]
        results = [handle.result(timeout=30) for handle in handles]
    assert [result.status for result in results] == ["succeeded", "failed"]
    surfaces = {
        "audit": (setup.server.folder / "audit.log").read_bytes(),
        "server's log": setup.server.log_path.read_bytes(),
        "log": setup.worker.running.log_path.read_bytes(),
        "broker and backend": read_folder(setup.worker.place.embedded),
        "events": json.dumps(events).encode(),
    }
    assert b"hmac-sha256:" in surfaces["audit"]
    assert f"{setup.kv}/data/work/api".encode() in surfaces["audit"]
    for name, surface in surfaces.items():
        assert [secret for secret in setup.worker.kept_secret if holds(surface, secret)] == [], name
