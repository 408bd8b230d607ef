"""What the settings of Vault mean: which mount is on which server, and who we are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attune_tasks.errors import SecretsUnavailableError, SettingsError
from attune_tasks.secrets.references import parse_reference
from attune_tasks.secrets.vault_options import VaultMount, VaultOptions, read_options
from attune_tasks.settings import load_settings
from attune_tasks.settings.model import VaultSettings

TOKEN = "hvs.one"
MAIN = {"url": "https://main:8200", "token": TOKEN, "namespace": "team"}


def options(**settings: Any) -> VaultOptions:
    return read_options(VaultSettings.model_validate(settings).as_options())


def located(found: VaultOptions, text: str) -> tuple[VaultMount, str]:
    return found.locate(parse_reference(text, default_provider="vault"))


@pytest.mark.parametrize(
    ("text", "mount", "path"),
    [
        ("a/b#f", "secret", "a/b"),
        ("vault://secret/a/b#f", "secret", "a/b"),
        ("vault://other/a/b#f", "other", "a/b"),
        ("vault://team/kv/a/b#f", "team/kv", "a/b"),
        ("vault://team/kv2/a#f", "team", "kv2/a"),
    ],
)
def test_a_reference_names_its_mount_or_takes_the_default(text: str, mount: str, path: str) -> None:
    found, rest = located(options(**MAIN, mounts={"team/kv": {"kv_version": 1}}), text)
    assert (found.path, rest) == (mount, path)


def test_a_mount_takes_what_it_does_not_set_from_the_settings_above() -> None:
    found, _ = located(options(**MAIN, mounts={"kv": {"kv_version": 1}}), "vault://kv/a#f")
    assert (found.kv_version, found.server.url, found.server.token) == (1, "https://main:8200", TOKEN)


def test_mounts_of_one_server_share_its_login() -> None:
    found = options(**MAIN, mounts={"kv": {"kv_version": 1}})
    assert len({mount.server for mount in found.configured()}) == 1


def test_another_server_is_never_given_the_token_of_this_one() -> None:
    other = {"url": "https://eu:8200", "token_file": "/run/eu"}
    found, _ = located(options(**MAIN, ca_file="/ca.pem", mounts={"eu": other}), "vault://eu/a#f")
    server = found.server
    assert (server.token, server.namespace, server.ca_file) == (None, None, None)
    assert (server.url, server.token_file) == ("https://eu:8200", Path("/run/eu"))
    assert server.setting == "secrets.vault.mounts.eu"


def test_another_server_without_a_login_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"secrets\.vault\.mounts\.eu: set one way to log in"):
        options(**MAIN, mounts={"eu": {"url": "https://eu:8200"}})


def test_another_login_on_this_server_replaces_the_one_above() -> None:
    found, _ = located(options(**MAIN, mounts={"kv": {"approle": {"role_id": "r"}}}), "vault://kv/a#f")
    assert (found.server.token, found.server.role_id, found.server.url) == (None, "r", "https://main:8200")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "secrets.vault.url is not set"),
        ({"url": "https://v"}, "set one way to log in"),
        ({**MAIN, "token_file": "/t"}, "set one way to log in"),
        ({**MAIN, "approle": {"role_id": "r"}}, "set one way to log in"),
        ({"url": "vault:8200", "token": TOKEN}, "secrets.vault.url: write it as https://host:port"),
        ({"url": "https://me:pw@v", "token": TOKEN}, "secrets.vault.url: write it as https://host:port"),
        ({"url": "https://v", "token": "two words"}, "secrets.vault.token: holds a space"),
        ({"url": "https://v", "token": "line\nbreak"}, "secrets.vault.token: holds a space"),
        ({**MAIN, "client_key": "/k"}, "client_key is set without client_cert"),
        ({**MAIN, "mount": "/"}, "the name of a mount is empty"),
    ],
)
def test_settings_that_can_not_work_are_refused_without_a_value(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        options(**settings)
    assert said in str(raised.value)
    for secret in (TOKEN, "two words", "break", "pw"):
        assert secret not in str(raised.value)


def test_a_reference_to_a_mount_of_no_server_says_what_to_set() -> None:
    found = options(mounts={"eu": {"url": "https://eu", "token": TOKEN}})
    with pytest.raises(SecretsUnavailableError, match=r"url is not set, and secrets\.vault\.mounts does not name 'se"):
        located(found, "a/b#f")


def test_relative_paths_start_at_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "attune-tasks.toml").write_text(
        '[secrets.vault]\ntoken_file = "token"\nca_file = "/etc/ca.pem"\n'
        '[secrets.vault.approle]\nsecret_id_file = "id"\n[secrets.vault.mounts.path]\nclient_key = "key"\n',
        encoding="utf-8",
    )
    vault = load_settings(environ={}, directory=tmp_path).settings.secrets.vault
    assert vault.token_file == tmp_path / "token"
    assert vault.ca_file == Path("/etc/ca.pem")
    assert vault.approle.secret_id_file == tmp_path / "id"
    assert vault.mounts["path"].client_key == tmp_path / "key"


def test_an_unknown_setting_of_a_mount_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "attune-tasks.toml").write_text('[secrets.vault.mounts.eu]\ntoken_fil = "x"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"mounts\.eu\.token_fil: unknown setting.*token_file"):
        load_settings(environ={}, directory=tmp_path)


def test_a_token_in_a_variable_is_warned_about_and_never_shown(tmp_path: Path) -> None:
    loaded = load_settings(environ={"ATTUNE_TASKS_SECRETS__VAULT__TOKEN": TOKEN}, directory=tmp_path)
    assert loaded.settings.secrets.vault.token == TOKEN
    assert any("ATTUNE_TASKS_SECRETS__VAULT__TOKEN holds a secret" in warning for warning in loaded.warnings)
    assert TOKEN not in repr(loaded.masked())
    assert TOKEN not in repr(loaded.settings)


def test_a_file_for_the_token_is_no_secret(tmp_path: Path) -> None:
    loaded = load_settings(environ={"ATTUNE_TASKS_SECRETS__VAULT__TOKEN_FILE": "/run/token"}, directory=tmp_path)
    assert loaded.warnings == ()
    assert loaded.masked()["secrets"]["vault"]["token_file"] == "/run/token"
