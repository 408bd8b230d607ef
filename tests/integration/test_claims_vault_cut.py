"""A worker is cut off from Vault in mid-run: what has its secrets runs on, the rest waits; each has one final state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from celery import states

from tests.integration.claims_batch import SETTINGS, SLOTS, Batch
from tests.integration.claims_pack import starts, write_claims_pack
from tests.integration.packs import SECRETS
from tests.integration.vault_place import toml
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.tcp_proxy import TcpProxy
from tests.vault import StoredVault
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

SECONDS = 60.0


@pytest.fixture
def vault_proxy(stored_vault: StoredVault) -> Iterator[TcpProxy]:
    """Stand between the workers and Vault."""
    proxy = TcpProxy(int(stored_vault.url.rpartition(":")[2]))
    yield proxy
    proxy.cut()


@pytest.fixture
def claims_place(tmp_path_factory: pytest.TempPathFactory, durable_redis: RedisServer) -> Place:
    """Give a folder with the pack `claims`, of which each action needs a secret."""
    made = make_place(tmp_path_factory.mktemp("claims-vault-cut"), durable_redis)
    write_claims_pack(made, secrets="key: work/api#api_key")
    return made


@pytest.fixture
def cut_batch(batch: Batch, pool: str, stored_vault: StoredVault, vault_proxy: TcpProxy) -> Iterator[Batch]:
    """Give a batch of which each is where it is to be, on two workers that reach Vault by the proxy."""
    vault = stored_vault.vault
    kv = vault.kv()
    vault.put(kv, "work/api", SECRETS)
    config = batch.place.folder / "attune-tasks.toml"
    config.touch(mode=0o600)
    config.write_text(
        toml("secrets", {"provider": "vault", "fetch_timeout": 2, "on_outage": "retry"})
        + toml("secrets.vault", {"url": f"http://127.0.0.1:{vault_proxy.port}", "mount": kv, "token": vault.token}),
        encoding="utf-8",
    )
    environ = {**SETTINGS, "ATTUNE_TASKS_CONFIG": str(config)}
    with ExitStack() as stack:

        def start(name: str, slots: int) -> None:
            arguments = ("-P", pool, "-c", str(slots), "-n", f"{name}@here")
            stack.enter_context(worker(batch.place, *arguments, environ=environ, log=f"{name}.log"))

        start("one", SLOTS)
        batch.begin(retrying=False)
        start("two", 1)
        batch.begin_retrying()
        batch.queue()
        batch.assert_retry_waits()
        yield batch


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_is_cut_off_from_vault_in_mid_run(cut_batch: Batch, vault_proxy: TcpProxy) -> None:
    batch = cut_batch
    queued = [name for name in batch.handles if name.startswith("queued") and not starts(batch.file(name))]
    assert queued
    waiting = ["parked", "body", *queued]
    # On a machine that is busy, Vault may have been too slow for one before.
    slow = [name for name in batch.handles if name not in {*waiting, "retrying"} and batch.attempt_of(name) > 1]
    next_attempt = batch.attempt_of("retrying")
    vault_proxy.cut()
    batch.release(set(batch.handles) - {*waiting, "retrying"})
    for name in ("linked", "chained", "member", "again", "single"):
        assert batch.handles[name].result(SECONDS).succeeded, name  # they had their secrets
    for name in waiting:
        wait_until(lambda each=name: batch.celery_state(each) == states.RETRY, f"{name} waits for Vault", SECONDS)  # type: ignore[misc]
    wait_until(lambda: batch.attempt_of("retrying") > next_attempt, "the one that fails has met it, too", SECONDS)
    assert {name: starts(batch.file(name)) for name in waiting} == dict.fromkeys(waiting, 0)
    assert {starts(batch.file(name)) for name in ("linked-ok", "chained-ok")} == {0}
    vault_proxy.mend()
    batch.release()
    batch.check(childless={**dict.fromkeys([*waiting, *slow], 1), "retrying": 2})
