"""Vault down, stopped, sealed, slow, behind another certificate: clear errors, no child, and recovery by itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from attune_tasks import enqueue
from tests.integration.packs import SECRETS
from tests.integration.surfaces import holds
from tests.integration.vault_place import VALUE, VaultWorker, vault_worker, write_token
from tests.redis_server import RedisServer
from tests.vault import StoredVault, make_ca, start_stored, unique
from tests.waiting import wait_until

NEVER_SENT = "hvs.never-sent-to-a-stranger"
SECONDS = 2.0
"""For fetching, so that an outage is told soon."""


@dataclass(frozen=True)
class Setup:
    """A worker, and the server that it needs."""

    worker: VaultWorker
    server: StoredVault
    kv: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredVault]:
    """Run a Vault with TLS that writes down who asked for what, once as operators have it and once unhashed."""
    server = start_stored(tmp_path_factory.mktemp("server"), tls=True)
    try:
        audit = server.vault.root.sys.enable_audit_device
        audit("file", options={"file_path": str(server.folder / "audit.log")})
        audit("file", path="raw", options={"file_path": str(server.folder / "raw.log"), "log_raw": "true"})
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["prefork", "threads"])
def setup(
    request: pytest.FixtureRequest,
    server: StoredVault,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("vault-outages")
    vault = server.vault
    kv, elsewhere = vault.kv(), unique("elsewhere")
    vault.put(kv, "app/api", {"key": VALUE})
    vault.put(kv, "work/api", SECRETS)
    role = vault.approle(vault.policy(f"{kv}/data/*"), token_ttl="1h")
    secret_id = role.new_secret_id()
    make_ca(folder / "other-ca")
    settings = {
        "url": vault.url,
        "mount": kv,
        "ca_file": server.folder / "ca.pem",
        "approle": {
            "role_id": role.role_id,
            "secret_id_file": write_token(folder / "secret-id", secret_id),
            "mount": role.mount,
        },
        "mounts": {
            elsewhere: {"url": vault.url, "ca_file": folder / "other-ca" / "ca.pem", "token": NEVER_SENT},
        },
    }
    actions = {"tell": "app/api#key", "elsewhere": f"vault://{elsewhere}/app/api#key"}
    with vault_worker(folder, settings, actions, redis=redis_server, pool=request.param, seconds=SECONDS) as worker:
        worker.kept_secret |= {vault.token, secret_id, NEVER_SENT, *SECRETS.values()}
        yield Setup(worker, server, kv)


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


def test_the_certificate_of_another_ca(setup: Setup) -> None:
    setup.worker.refused("elsewhere", "is not to be trusted", ".ca_file")
    setup.worker.works("tell")


def test_no_surface_holds_a_secret_and_the_audit_log_has_hashes_only(setup: Setup) -> None:
    worker = setup.worker
    worker.works("tell")
    # Both print their secrets, and the second raises an exception with them.
    handles = [enqueue("work.tell", {"fail": fail}, app=worker.client) for fail in (False, True)]
    results = [handle.result(timeout=30) for handle in handles]
    assert [result.status for result in results] == ["succeeded", "failed"]
    assert results[1].error
    assert "***" in results[1].error["message"]
    wait_until(lambda: handles[1].task_id in json.dumps(worker.events), "the events")
    surfaces = {
        **worker.surfaces(),
        "audit": (setup.server.folder / "audit.log").read_bytes(),
        "server's log": setup.server.log_path.read_bytes(),
    }
    assert b"hmac-sha256:" in surfaces["audit"]
    assert f"{setup.kv}/data/work/api".encode() in surfaces["audit"]
    for name, surface in surfaces.items():
        assert [secret for secret in worker.kept_secret if holds(surface, secret)] == [], name

    # The counter-test: the same look finds them in an audit log whose values are not hashed.
    raw = (setup.server.folder / "raw.log").read_bytes()
    assert [secret for secret in (VALUE, *SECRETS.values()) if not holds(raw, secret)] == []
