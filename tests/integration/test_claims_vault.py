"""Vault is down or stopped: executions that retry it wait, and run once it is back, each once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.vault_place import VALUE, VaultWorker, vault_worker
from tests.redis_server import RedisServer
from tests.vault import StoredVault
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

SECONDS = 60.0


@pytest.fixture(scope="module", params=["prefork", "threads"])
def setup(
    request: pytest.FixtureRequest,
    stored_vault: StoredVault,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[VaultWorker]:
    vault = stored_vault.vault
    kv = vault.kv()
    vault.put(kv, "app/api", {"key": VALUE})
    settings = {"url": vault.url, "mount": kv, "token": vault.token}
    more = {"on_outage": "retry"}
    folder = tmp_path_factory.mktemp("claims-vault")
    actions = {"tell": "app/api#key"}
    with vault_worker(
        folder, settings, actions, redis=redis_server, pool=request.param, seconds=1, more=more
    ) as worker:
        yield worker


@pytest.mark.parametrize("outage", ["down", "stopped"])
def test_what_needs_a_secret_waits_for_vault(setup: VaultWorker, stored_vault: StoredVault, outage: str) -> None:
    setup.works("tell")
    if outage == "stopped":
        with stored_vault.frozen():
            handles = [setup.start("tell") for _ in range(4)]
            wait_until(lambda: all(setup.state(each) == "RETRY" for each in handles), "all wait", SECONDS)
            assert {handle.status() for handle in handles} == {"pending"}
    else:
        stored_vault.stop()
        try:
            handles = [setup.start("tell") for _ in range(4)]
            wait_until(lambda: all(setup.state(each) == "RETRY" for each in handles), "all wait", SECONDS)
        finally:
            stored_vault.start()
            stored_vault.unseal()
    for handle in handles:
        result = handle.result(SECONDS)
        assert result.succeeded
        assert result.attempt >= 2
        assert setup.starts(handle) == 1  # the attempts before had no child
