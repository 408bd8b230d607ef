"""Actions whose secrets are in a real Vault, through workers on a real Redis: each way to log in and to be refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.vault_place import VALUE, VaultWorker, vault_worker, write_token
from tests.redis_server import RedisServer
from tests.vault import AppRole, Vault, policy_for

NEWER = "the-newer-value-of-version-2"


@dataclass(frozen=True)
class Setup:
    """What a worker finds in Vault."""

    worker: VaultWorker
    vault: Vault
    kv: str
    policy: str
    role: AppRole
    token: str
    token_file: Path
    hidden: str


@pytest.fixture(scope="module", params=["prefork", "threads"])
def setup(
    request: pytest.FixtureRequest,
    vault: Vault,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Setup]:
    folder = tmp_path_factory.mktemp("vault-worker")
    kv1, kv2, by_role, by_file, hidden = vault.kv(1), vault.kv(2), vault.kv(2), vault.kv(2), vault.kv(2)
    nested = {"key": VALUE, "database": {"password": VALUE}, "dotted.name": VALUE, "port": 5432}
    vault.put(kv1, "app/api", nested, 1)
    for mount in (kv2, by_role, by_file):
        vault.put(mount, "app/api", nested)
        vault.put(mount, "app/gone", {"key": VALUE})
        vault.root.secrets.kv.v2.delete_latest_version_of_secret("app/gone", mount_point=mount)
    vault.put(kv2, "app/versions", {"key": VALUE})
    vault.put(kv2, "app/versions", {"key": NEWER})
    vault.put(kv2, "app/destroyed", {"key": VALUE})
    vault.root.secrets.kv.v2.destroy_secret_versions("app/destroyed", [1], mount_point=kv2)
    policy = vault.policy(f"{kv1}/app/*", *(f"{mount}/data/app/*" for mount in (kv2, by_role, by_file)))
    role = vault.approle(policy, token_ttl="1h")
    secret_id = role.new_secret_id()
    secret_id_file = write_token(folder / "secret-id", secret_id)
    token, rotated = vault.new_token(policy), vault.new_token(policy)
    token_file = write_token(folder / "token", rotated)
    settings = {
        "url": vault.url,
        "token": token,
        "mount": kv2,
        "mounts": {
            by_role: {
                "approle": {"role_id": role.role_id, "secret_id_file": secret_id_file, "mount": role.mount},
            },
            by_file: {"url": vault.url, "token_file": token_file},
        },
    }
    actions = {
        "kv1": f"vault://{kv1}/app/api#key",
        "kv1_version": f"vault://{kv1}/app/api?version=1#key",
        "kv2": f"vault://{kv2}/app/api#key",
        "plain": "app/api#key",
        "nested": "app/api#database.password",
        "dotted": "app/api#dotted.name",
        "whole": "app/versions#",
        "older": "app/versions?version=1#key",
        "latest": "app/versions#key",
        "future": "app/versions?version=9#key",
        "role": f"vault://{by_role}/app/api#key",
        "file": f"vault://{by_file}/app/api#key",
        "absent": "app/none#key",
        "denied": "other/api#key",
        "denied_mount": f"vault://{hidden}/app/api#key",
        "gone": "app/gone#key",
        "destroyed": "app/destroyed#key",
        "wrong_field": "app/api#kye",
    }
    with vault_worker(folder, settings, actions, redis=redis_server, pool=request.param) as worker:
        worker.kept_secret |= {vault.token, token, rotated, secret_id, NEWER}
        yield Setup(worker, vault, kv2, policy, role, rotated, token_file, hidden)


@pytest.mark.parametrize("action", ["kv1", "kv2", "plain", "nested", "dotted", "older", "role", "file"])
def test_an_action_gets_its_secret(setup: Setup, action: str) -> None:
    setup.worker.works(action)


def test_the_latest_version_is_taken_where_none_is_named(setup: Setup) -> None:
    setup.worker.works("latest", NEWER)


def test_a_whole_secret_comes_as_json(setup: Setup) -> None:
    result = setup.worker.run("whole")
    assert result.stdout == f"*** {len(json.dumps({'key': NEWER}))}\n"


def test_a_secret_that_is_not_there_names_the_command_to_look_with(setup: Setup) -> None:
    setup.worker.refused("absent", "key (app/none#key)", f"`vault kv get -mount={setup.kv} app/none`")


def test_a_version_that_is_not_there_names_the_command_to_look_with(setup: Setup) -> None:
    setup.worker.refused("future", f"`vault kv get -version=9 -mount={setup.kv} app/versions`")


def test_a_missing_permission_names_the_policys_line(setup: Setup) -> None:
    said = setup.worker.refused("denied", "permission denied", f'path "{setup.kv}/data/other/api"')
    assert '{ capabilities = ["read"] }' in said


def test_a_mount_that_we_may_not_see_names_both_lines(setup: Setup) -> None:
    setup.worker.refused("denied_mount", f'path "{setup.hidden}/data/app/api"', f'path "{setup.hidden}/app/api"')


def test_a_deleted_version_names_the_command_that_brings_it_back(setup: Setup) -> None:
    setup.worker.refused("gone", "was deleted", f"`vault kv undelete -mount={setup.kv} -versions=<N> app/gone`")


def test_a_destroyed_version_is_told_as_such(setup: Setup) -> None:
    setup.worker.refused("destroyed", "was destroyed for good")


def test_a_wrong_field_is_told_with_the_nearest(setup: Setup) -> None:
    setup.worker.refused("wrong_field", "no field 'kye' there", "did you mean 'key'?")


def test_a_kv_engine_1_has_no_versions(setup: Setup) -> None:
    setup.worker.refused("kv1_version", "keeps no versions: drop ?version=")


def test_a_policy_that_changes_under_us_is_told_and_recovered_from(setup: Setup) -> None:
    for action in ("plain", "role", "file"):
        setup.worker.works(action)
    sys = setup.vault.root.sys
    before = sys.read_policy(setup.policy)["data"]["rules"]
    sys.create_or_update_policy(setup.policy, policy_for("nothing/at/all"))
    try:
        for action in ("plain", "role", "file"):
            setup.worker.refused(action, "permission denied", 'app/api" { capabilities = ["read"] }')
    finally:
        sys.create_or_update_policy(setup.policy, before)
    for action in ("plain", "role", "file"):
        setup.worker.works(action)


def test_a_login_that_is_revoked_under_us_is_made_anew(setup: Setup) -> None:
    setup.worker.works("role")
    setup.vault.root.sys.revoke_prefix(f"auth/{setup.role.mount}/login")
    setup.worker.works("role")


def test_a_token_file_that_is_rotated_under_us_is_read_again(setup: Setup) -> None:
    setup.worker.works("file")
    token = setup.vault.new_token(setup.policy)
    setup.worker.kept_secret.add(token)
    write_token(setup.token_file, token)
    setup.vault.root.auth.token.revoke(setup.token)
    setup.worker.works("file")
    setup.vault.root.auth.token.revoke(token)
    setup.worker.refused("file", "refuses the token of secrets.vault.mounts", "expired or was revoked")
    last = setup.vault.new_token(setup.policy)
    setup.worker.kept_secret.add(last)
    write_token(setup.token_file, last)
    setup.worker.works("file")


def test_each_process_logs_in_once_however_much_it_reads(setup: Setup) -> None:
    def logins() -> int:
        keys = setup.vault.root.sys.list_leases(f"auth/{setup.role.mount}/login")["data"]["keys"]
        return len(keys)

    setup.worker.works("role")
    before = logins()
    for _ in range(6):
        setup.worker.works("role")
    assert logins() <= max(before, 2)  # two processes


def test_the_embedded_broker_serves_beside_vault_too(vault: Vault, tmp_path: Path) -> None:
    kv = vault.kv()
    vault.put(kv, "app/api", {"key": VALUE})
    token = vault.new_token(vault.policy(f"{kv}/data/app/*"))
    actions = {"tell": "app/api#key", "absent": "app/none#key"}
    settings = {"url": vault.url, "token": token, "mount": kv}
    with vault_worker(tmp_path / "place", settings, actions, redis=None) as worker:
        worker.kept_secret |= {vault.token, token}
        worker.works("tell")
        worker.refused("absent", "key (app/none#key)")
