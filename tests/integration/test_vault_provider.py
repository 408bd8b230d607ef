"""The provider against a real Vault, in this process: logins, renewals, client certificates, forks, doctor's line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.cli.shipped import bundled_packs
from attune_tasks.context import ExecutionRequest
from attune_tasks.errors import SecretsUnavailableError
from attune_tasks.executor import build_executor
from attune_tasks.ids import new_execution_id
from attune_tasks.secrets import vault_login
from attune_tasks.secrets.pool import ProviderPool
from attune_tasks.secrets.references import parse_reference
from attune_tasks.secrets.vault import VaultSecretProvider
from attune_tasks.settings import load_settings
from attune_tasks.settings.model import VaultSettings
from tests.integration.vault_place import VALUE, write_token
from tests.vault import AppRole, StoredVault, Vault, make_ca, start_stored
from tests.waiting import wait_until


def provider(**settings: Any) -> VaultSecretProvider:
    return VaultSecretProvider.from_settings(VaultSettings.model_validate(settings).as_options())


def read(made: VaultSecretProvider, text: str = "app/api#key", seconds: float = 10) -> Any:
    return dict(made.read(parse_reference(text, default_provider="vault"), deadline=time.monotonic() + seconds))


@pytest.fixture(scope="module")
def kv(vault: Vault) -> str:
    mount = vault.kv()
    vault.put(mount, "app/api", {"key": VALUE})
    return mount


def by_role(role: AppRole, kv: str, folder: Path, **settings: Any) -> VaultSecretProvider:
    secret_id_file = write_token(folder / "secret-id", role.new_secret_id())
    approle = {"role_id": role.role_id, "secret_id_file": secret_id_file, "mount": role.mount}
    return provider(url=role.vault.url, mount=kv, approle=approle, **settings)


def logins(role: AppRole) -> list[str]:
    found: list[str] = role.vault.root.sys.list_leases(f"auth/{role.mount}/login")["data"]["keys"]
    return found


def test_threads_share_one_login_and_one_client(vault: Vault, kv: str, tmp_path: Path) -> None:
    role = vault.approle(vault.policy(f"{kv}/data/*"), token_ttl="1h")
    made = by_role(role, kv, tmp_path)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: read(made)["key"], range(40))) == [VALUE] * 40
    assert len(logins(role)) == 1


def test_a_forked_process_makes_a_login_of_its_own(vault: Vault, kv: str, tmp_path: Path) -> None:
    role = vault.approle(vault.policy(f"{kv}/data/*"), token_ttl="1h")
    pool = ProviderPool(lambda _: by_role(role, kv, tmp_path))
    read(pool.get("vault"))  # type: ignore[arg-type]
    child = os.fork()
    if child == 0:
        try:
            found = read(pool.get("vault"))  # type: ignore[arg-type]
            os._exit(0 if found == {"key": VALUE} else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert len(logins(role)) == 2
    assert read(pool.get("vault")) == {"key": VALUE}  # type: ignore[arg-type]


def test_a_login_is_renewed_at_two_thirds_of_its_life(vault: Vault, kv: str, tmp_path: Path) -> None:
    role = vault.approle(vault.policy(f"{kv}/data/*"), token_ttl="3s", token_max_ttl="1h")
    made = by_role(role, kv, tmp_path)
    read(made)
    (first,) = logins(role)
    begun = time.monotonic()
    while time.monotonic() - begun < 5:  # longer than it would live
        assert read(made) == {"key": VALUE}
        time.sleep(0.25)
    assert logins(role) == [first]


def test_a_login_that_can_not_be_renewed_is_made_anew_in_time(vault: Vault, kv: str, tmp_path: Path) -> None:
    role = vault.approle(vault.policy(f"{kv}/data/*"), token_ttl="3s", token_type="batch")
    made = by_role(role, kv, tmp_path)
    begun = time.monotonic()
    while time.monotonic() - begun < 4.5:
        assert read(made) == {"key": VALUE}
        time.sleep(0.25)


def test_a_token_that_was_given_is_renewed_too(vault: Vault, kv: str) -> None:
    made = provider(url=vault.url, mount=kv, token=vault.new_token(vault.policy(f"{kv}/data/*"), ttl="3s"))
    begun = time.monotonic()
    while time.monotonic() - begun < 5:
        assert read(made) == {"key": VALUE}
        time.sleep(0.25)


def test_a_roles_new_policy_is_had_by_logging_in_anew(
    vault: Vault, kv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = vault.approle(vault.policy("nothing/*"), token_ttl="1h")
    made = by_role(role, kv, tmp_path, kv_version=2)
    with pytest.raises(SecretsUnavailableError, match="permission denied"):
        read(made)
    vault.root.auth.approle.create_or_update_approle(
        role.name, token_policies=[vault.policy(f"{kv}/data/*")], mount_point=role.mount
    )
    with pytest.raises(SecretsUnavailableError, match="permission denied"):
        read(made)  # the login is young: Vault is not stormed with logins for want of a policy
    assert len(logins(role)) == 1
    monkeypatch.setattr(vault_login, "_FRESH", 0.0)
    assert read(made) == {"key": VALUE}


def test_a_wrong_secret_id_is_told_with_the_command_for_a_new_one(vault: Vault, kv: str, tmp_path: Path) -> None:
    role = vault.approle(vault.policy(f"{kv}/data/*"))
    made = by_role(role, kv, tmp_path)
    write_token(tmp_path / "secret-id", "wrong-secret-id")
    with pytest.raises(SecretsUnavailableError) as raised:
        read(made)
    assert "refuses the login by AppRole (HTTP 400)" in str(raised.value)
    assert f"`vault write -f auth/{role.mount}/role/<role>/secret-id`" in str(raised.value)
    assert "wrong-secret-id" not in str(raised.value)
    write_token(tmp_path / "secret-id", role.new_secret_id())
    assert read(made) == {"key": VALUE}


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("hvs.x", 0o604, "is open to all users (mode 0604): run `chmod o= "),
        ("", 0o600, "does not hold one word of printable ASCII"),
        ('{"token": "hvs.x"}', 0o600, "does not hold one word of printable ASCII"),
    ],
)
def test_a_token_file_that_can_not_be_used_is_told(
    vault: Vault, tmp_path: Path, content: str, mode: int, said: str
) -> None:
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(SecretsUnavailableError) as raised:
        read(provider(url=vault.url, token_file=path))
    assert said in str(raised.value)
    assert "see secrets.vault.token_file" in str(raised.value)
    assert "hvs.x" not in str(raised.value)


def test_a_token_file_that_is_being_written_leaves_the_token_before_in_force(
    vault: Vault, kv: str, tmp_path: Path
) -> None:
    path = write_token(tmp_path / "token", vault.new_token(vault.policy(f"{kv}/data/*")))
    made = provider(url=vault.url, mount=kv, token_file=path)
    read(made)
    path.write_text("", encoding="utf-8")
    assert read(made) == {"key": VALUE}
    path.unlink()
    assert read(made) == {"key": VALUE}


def test_a_mount_that_is_upgraded_under_us_is_looked_at_again(vault: Vault) -> None:
    mount = vault.kv(1)
    vault.put(mount, "app/api", {"key": VALUE}, 1)
    made = provider(url=vault.url, mount=mount, token=vault.token)
    assert read(made) == {"key": VALUE}
    vault.root.sys.tune_mount_configuration(mount, options={"version": "2"})

    def upgraded() -> bool:
        try:
            return bool(read(made) == {"key": VALUE})
        except SecretsUnavailableError:
            return False

    wait_until(upgraded, "the upgrade")


def test_what_is_no_kv_engine_is_told(vault: Vault) -> None:
    with pytest.raises(SecretsUnavailableError, match="'sys' is no KV engine: see `vault secrets list`"):
        read(provider(url=vault.url, token=vault.token), "vault://sys/app#key")


def test_describe_says_who_we_are_and_how_long(vault: Vault, kv: str) -> None:
    policy = vault.policy(f"{kv}/data/*")
    token = vault.new_token(policy, ttl="5430s", display_name="tests")
    said = provider(url=vault.url, mount=kv, token=token).describe()
    version = vault.root.sys.read_health_status(method="GET")["version"]
    assert said.startswith(f"vault: {vault.url} {version}, unsealed, active; mounts {kv}; we are token-tests ")
    assert said.endswith(f"(policies: default, {policy}), whose token ends in 1 h 30 min")
    assert token not in said
    assert provider(url=vault.url, token=vault.token).describe().endswith("whose token does not end")


def test_describe_names_each_server_and_what_is_wrong_with_it(vault: Vault) -> None:
    down = {"url": "http://127.0.0.1:1", "token": "t"}
    made = provider(url=vault.url, token=vault.token, mounts={"down": down})
    with pytest.raises(SecretsUnavailableError) as raised:
        made.describe()
    assert "no connection to Vault at http://127.0.0.1:1" in str(raised.value)
    assert f"vault: {vault.url}" in str(raised.value)


@pytest.mark.parametrize("name", ["file", "vault"])
def test_the_bundled_packs_run_unchanged_with_file_and_with_vault(vault: Vault, tmp_path: Path, name: str) -> None:
    paths = {"demo/backup": "passphrase", "demo/hook": "token", "demo/database": "password"}
    paths |= {"demo/signing": "key", "demo/api": "key"}
    secrets: dict[str, Any] = {"provider": name}
    if name == "file":
        file = tmp_path / "secrets.toml"
        file.touch(mode=0o600)
        file.write_text("".join(f'["{path}"]\n{field} = "{VALUE}"\n' for path, field in paths.items()))
        secrets["file"] = {"path": file}
    else:
        kv = vault.kv()
        for path, field in paths.items():
            vault.put(kv, path, {field: VALUE})
        token = vault.new_token(vault.policy(f"{kv}/data/demo/*"))
        secrets["vault"] = {"url": vault.url, "mount": kv, "token": token}
    loaded = load_settings(overrides={"packs": [bundled_packs()], "secrets": secrets}, environ={}, directory=tmp_path)
    executor = build_executor(loaded)
    parameters: dict[str, dict[str, Any]] = {"demo.sign": {"message": "m"}, "demo.steps": {"seconds": 0}}
    ended = {}
    for action in executor.registry.actions:
        request = ExecutionRequest(new_execution_id(), action.ref, parameters.get(action.ref, {}))
        ended[action.ref] = executor.execute(request).status
    assert ended == dict.fromkeys(ended, "succeeded") | {"demo.fail": "failed"}
    assert len(ended) == 5


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredVault]:
    """Give a server that asks for a client's certificate; its own CA's."""
    server = start_stored(tmp_path_factory.mktemp("guarded"), tls=True, client_ca=True)
    try:
        yield server
    finally:
        server.stop()


def test_a_client_certificate_is_shown_to_a_server_that_asks(guarded: StoredVault) -> None:
    vault, folder = guarded.vault, guarded.folder
    kv = vault.kv()
    vault.put(kv, "app/api", {"key": VALUE})
    settings = {"url": vault.url, "mount": kv, "token": vault.token, "ca_file": folder / "ca.pem"}
    assert read(provider(**settings, client_cert=folder / "client.pem", client_key=folder / "client.key"))
    with pytest.raises(SecretsUnavailableError, match=r"no (TLS|connection) "):
        read(provider(**settings), seconds=2)
    with pytest.raises(SecretsUnavailableError, match="a certificate's file can't be used"):
        read(provider(**settings, client_cert=folder / "none.pem"))
    with pytest.raises(SecretsUnavailableError, match="a certificate's file can't be used"):
        read(provider(**{**settings, "ca_file": folder / "none.pem"}))


def test_another_cas_certificate_is_refused_at_once(guarded: StoredVault, tmp_path: Path) -> None:
    make_ca(tmp_path / "other")
    made = provider(url=guarded.vault.url, token="hvs.never-sent", ca_file=tmp_path / "other" / "ca.pem")
    begun = time.monotonic()
    with pytest.raises(SecretsUnavailableError, match=r"is not to be trusted \(.*\): see secrets\.vault\.ca_file"):
        read(made)
    assert time.monotonic() - begun < 5  # of ten: trying again would not help


def test_a_new_login_that_is_refused_too_is_a_matter_of_policy(
    vault: Vault, kv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_login, "_FRESH", 0.0)
    role = vault.approle(vault.policy("nothing/*"), token_ttl="1h")
    made = by_role(role, kv, tmp_path, kv_version=2)
    with pytest.raises(SecretsUnavailableError, match="permission denied; the policy of our token needs: "):
        read(made)
    assert len(logins(role)) == 2


def test_a_token_at_the_end_of_its_longest_life_is_told_as_such(vault: Vault, kv: str) -> None:
    token = vault.new_token(vault.policy(f"{kv}/data/*"), ttl="2s", explicit_max_ttl="2s")
    made = provider(url=vault.url, mount=kv, token=token)
    assert read(made) == {"key": VALUE}

    def said() -> str:
        try:
            read(made)
        except SecretsUnavailableError as error:
            return str(error)
        return ""

    wait_until(said, "the token's end")
    assert "refuses the token of secrets.vault: it has expired or was revoked" in said()
    assert token not in said()


@pytest.mark.parametrize(("kind", "said"), [("none", "can't be opened: No such file"), ("fifo", "no regular file")])
def test_a_token_file_that_is_none_is_told(vault: Vault, tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / "token"
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(SecretsUnavailableError, match=f"{said}.*see secrets.vault.token_file"):
        read(provider(url=vault.url, token_file=path))
