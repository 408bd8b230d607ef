"""The audit trail of a real prefork worker over Redis, held against the audit log of a real Vault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.result import Receipt
from tests.integration.surfaces import holds
from tests.integration.vault_place import VALUE, VaultWorker, vault_worker
from tests.redis_server import RedisServer
from tests.vault import Vault, unique
from tests.waiting import wait_until

NEWER = "the-newer-value-of-the-audited-secret"


@dataclass(frozen=True)
class Setup:
    """A worker, and where Vault writes down who read what."""

    worker: VaultWorker
    kv: str
    kv1: str
    kept: str
    log: Path

    def trail(self) -> list[dict[str, Any]]:
        """Give our records: what stands behind Celery's own beginning of each line of its log."""
        lines = self.worker.running.log_path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line[line.index("{") :]) for line in lines if '"event": "secret_read"' in line]

    def requests(self) -> dict[str, dict[str, Any]]:
        """Give Vault's answers by the ids of their requests."""
        entries = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return {entry["request"]["id"]: entry for entry in entries if entry["type"] == "response"}


@pytest.fixture(scope="module")
def setup(vault: Vault, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("audit-trail")
    kv, kv1, kept = vault.kv(2), vault.kv(1), vault.kv(2)
    for value in (VALUE, NEWER):
        vault.put(kv, "app/api", {"key": value})
    vault.put(kv1, "app/api", {"key": VALUE}, 1)
    vault.put(kept, "app/api", {"key": VALUE})
    vault.put(kv, "app/gone", {"key": VALUE})
    vault.root.secrets.kv.v2.delete_latest_version_of_secret("app/gone", mount_point=kv)
    token = vault.new_token(vault.policy(*(f"{mount}/*" for mount in (kv1, kept)), f"{kv}/data/app/*"))
    device = unique("audit")
    log = folder / "audit.log"
    vault.root.sys.enable_audit_device("file", path=device, options={"file_path": str(log)})
    settings = {"url": vault.url, "token": token, "mount": kv, "mounts": {kept: {"cache_ttl": 60}}}
    actions = {
        "latest": "app/api#key",
        "older": "app/api?version=1#key",
        "kv1": f"vault://{kv1}/app/api#key",
        "kept": f"vault://{kept}/app/api#key",
        "gone": "app/gone#key",
        "denied": "other/api#key",
        "wrong_field": "app/api#kye",
    }
    try:
        with vault_worker(folder / "worker", settings, actions, redis=redis_server) as worker:
            worker.kept_secret |= {token, vault.token, NEWER}
            yield Setup(worker, kv, kv1, kept, log)
    finally:
        vault.root.sys.disable_audit_device(device)


def record_of(setup: Setup, action: str) -> tuple[dict[str, Any], Any]:
    """Run an action; give its record and its result."""
    before = len(setup.trail())
    result = setup.worker.run(action)
    wait_until(lambda: len(setup.trail()) > before, "the record")
    [record] = setup.trail()[before:]
    assert record["execution_id"] == str(result.execution_id)
    assert (record["action"], record["secret"], record["provider"]) == (f"v.{action}", "key", "vault")
    assert "@" in record["claimed_by"]
    return record, result


@pytest.mark.parametrize(("action", "version"), [("latest", 2), ("older", 1)])
def test_a_read_has_the_version_and_the_id_that_vault_wrote_down(setup: Setup, action: str, version: int) -> None:
    record, result = record_of(setup, action)
    assert (record["outcome"], record["version"], record["cached"]) == ("read", version, False)
    answer = setup.requests()[record["request_id"]]
    assert answer["request"]["path"] == f"{setup.kv}/data/app/api"
    assert answer["request"]["operation"] == "read"
    assert answer["response"]["data"]["metadata"]["version"] == version
    assert result.receipts == (Receipt("key", record["reference"], version),)


def test_a_kv_engine_1_has_an_id_and_no_version(setup: Setup) -> None:
    record, result = record_of(setup, "kv1")
    assert (record["outcome"], record["version"]) == ("read", None)
    assert setup.requests()[record["request_id"]]["request"]["path"] == f"{setup.kv1}/app/api"
    assert result.receipts == (Receipt("key", f"vault://{setup.kv1}/app/api#key"),)


def test_a_secret_from_memory_is_told_as_such_with_the_id_of_the_read_it_is_from(setup: Setup) -> None:
    records = [record_of(setup, "kept")[0] for _ in range(5)]  # by two processes, each with a memory of its own
    assert {record["outcome"] for record in records} == {"read"}
    asked = [record["request_id"] for record in records if not record["cached"]]
    cached = [record["request_id"] for record in records if record["cached"]]
    assert 1 <= len(asked) <= 2
    assert set(cached) <= set(asked)
    path = f"{setup.kept}/data/app/api"
    assert {key for key, entry in setup.requests().items() if entry["request"]["path"] == path} == set(asked)


def test_a_read_that_failed_has_a_record_and_no_receipt(setup: Setup) -> None:
    record, result = record_of(setup, "gone")
    assert (record["outcome"], result.receipts) == ("failed", ())
    assert setup.requests()[record["request_id"]]["request"]["path"] == f"{setup.kv}/data/app/gone"
    record, result = record_of(setup, "denied")
    # Vault's refusals have no id in them.
    assert (record["outcome"], record["request_id"], result.receipts) == ("failed", None, ())
    record, result = record_of(setup, "wrong_field")
    assert (record["outcome"], record["version"], result.receipts) == ("no_such_field", 2, ())


def test_no_record_holds_a_value_and_the_same_look_finds_a_planted_one(setup: Setup) -> None:
    record_of(setup, "latest")
    trail = json.dumps(setup.trail()).encode()
    assert [secret for secret in setup.worker.kept_secret if holds(trail, secret)] == []
    planted = trail + json.dumps({"value": NEWER}).encode()
    assert holds(planted, NEWER)
