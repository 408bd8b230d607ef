"""What doctor warns of: variables that look like credentials, and files with credentials that actions can read."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from attune_tasks.cli.doctor_exposure import exposure_warnings
from attune_tasks.settings import load_settings
from attune_tasks.settings.credentials import credential_variables

ORDINARY = pwd.struct_passwd(("action", "x", 64_998, 64_997, "", "/", "/bin/sh"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "correct horse"),
        ("VAULT_TOKEN", "hvs.short"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG"),
        ("BROKER", "redis://:hunter2@host/0"),
        ("X", "hvs.CAESIJ1234567890abcdefghij"),
        ("X", "ghp_" + "a1" * 18),
        ("X", "-----BEGIN RSA PRIVATE KEY-----\n…"),
        ("X", "AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_a_credential_is_seen_by_name_or_value(name: str, value: str) -> None:
    assert credential_variables({name: value, "HOME": "/root"}) == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PWD", "/srv/app"),
        ("SSH_AUTH_SOCK", "/tmp/agent"),
        ("XAUTHORITY", "/root/.Xauthority"),
        ("ATTUNE_TASKS_SECRETS__FILE__PATH", "secrets.toml"),
        ("VAULT_TOKEN_FILE", "token"),
        ("USE_TOKEN", "1"),
        ("URL", "https://example.net/a?b=c"),
        ("TZ", "Europe/Vienna"),
        ("PATH", "/usr/bin:/bin"),
    ],
)
def test_what_is_no_credential_is_left_alone(name: str, value: str) -> None:
    assert credential_variables({name: value}) == []


Warn = Callable[..., list[str]]


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Give a folder that all users may enter; those of pytest are closed."""
    with TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder).resolve()


@pytest.fixture
def warned(reachable: Path, monkeypatch: pytest.MonkeyPatch) -> Warn:
    """Give a function: what is warned of with these settings, for an ordinary user `action`."""
    monkeypatch.setattr(pwd, "getpwnam", {"action": ORDINARY, "root": pwd.getpwuid(0)}.__getitem__)

    def warn(toml: str = "", environ: dict[str, str] | None = None, **settings: Any) -> list[str]:
        (reachable / "attune-tasks.toml").write_text(toml, encoding="utf-8")
        (reachable / "attune-tasks.toml").chmod(0o644)
        loaded = load_settings(overrides=settings, environ={}, directory=reachable)
        return list(exposure_warnings(loaded, environ or {}))

    return warn


def secrets_file(folder: Path, mode: int) -> dict[str, Any]:
    path = folder / "secrets.toml"
    path.touch()
    path.chmod(mode)
    return {"file": {"path": str(path)}}


def test_nothing_is_warned_of_where_there_is_nothing(warned: Warn) -> None:
    assert warned() == []


def test_variables_are_named_and_not_quoted(warned: Warn) -> None:
    (warning,) = warned(environ={"DB_PASSWORD": "hunter2-hunter2"})
    assert "DB_PASSWORD" in warning
    assert "hunter2" not in warning


def test_without_run_as_it_is_said_plainly_once(warned: Warn, reachable: Path) -> None:
    toml = '[secrets.vault]\ntoken_file = "token"\n[secrets.vault.mounts.other]\nurl = "https://v"\n'
    (reachable / "token").touch(mode=0o600)
    (warning,) = warned(toml, secrets=secrets_file(reachable, 0o600))
    assert warning.startswith("actions run as the worker's user and can read ")
    assert warning.endswith(": set run_as")
    assert f"{reachable}/token" in warning
    assert f"{reachable}/secrets.toml" in warning
    assert "attune-tasks.toml" not in warning


def test_the_key_of_messages_counts(warned: Warn, reachable: Path) -> None:
    (reachable / "keys").touch(mode=0o600)
    (warning,) = warned('message_key_file = "keys"\n')
    assert f"{reachable}/keys" in warning


def test_the_file_with_approles_secret_id_counts(warned: Warn, reachable: Path) -> None:
    (reachable / "id").touch(mode=0o600)
    (reachable / "other-id").touch(mode=0o600)
    toml = '[secrets.vault.approle]\nsecret_id_file = "id"\n'
    toml += '[secrets.vault.mounts.other.approle]\nsecret_id_file = "other-id"\n'
    (warning,) = warned(toml)
    assert f"{reachable}/id" in warning
    assert f"{reachable}/other-id" in warning


@pytest.mark.parametrize("setting", ["broker_url", "result_backend", "state_url"])
def test_a_file_with_a_url_counts_where_there_is_a_password_in_it(warned: Warn, reachable: Path, setting: str) -> None:
    (reachable / "url").touch(mode=0o600)
    (reachable / "url").write_text("redis://:hunter2@host\n")
    (warning,) = warned(f'{setting}_file = "url"\n')
    assert f"{reachable}/url" in warning
    assert "hunter2" not in warning
    (reachable / "url").write_text("redis://host\n")
    assert warned(f'{setting}_file = "url"\n') == []


def test_a_settings_file_counts_where_it_holds_a_password(warned: Warn, reachable: Path) -> None:
    (warning,) = warned('broker_url = "redis://:hunter2@host"\n')
    assert f"{reachable}/attune-tasks.toml" in warning
    assert "hunter2" not in warning


@pytest.mark.parametrize(("mode", "is_warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_with_run_as_the_modes_count(warned: Warn, reachable: Path, mode: int, is_warned: bool) -> None:  # noqa: FBT001
    found = warned(run_as="action", secrets=secrets_file(reachable, mode))
    assert [f"{reachable}/secrets.toml" in warning for warning in found] == [True] * is_warned


def test_a_closed_folder_above_closes_what_is_in_it(warned: Warn, reachable: Path) -> None:
    (reachable / "closed").mkdir(mode=0o700)
    assert warned(run_as="action", secrets=secrets_file(reachable / "closed", 0o644)) == []


def test_root_reads_all(warned: Warn, reachable: Path) -> None:
    (warning,) = warned(run_as="root", secrets=secrets_file(reachable, 0o600))
    assert "choose a user who is not root" in warning


def test_the_group_and_the_owner_read_by_their_own_bits(
    warned: Warn, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets, path = secrets_file(reachable, 0o640), reachable / "secrets.toml"
    uid = os.geteuid() or ORDINARY.pw_uid
    users = {
        "member": pwd.struct_passwd(("member", "x", ORDINARY.pw_uid, path.stat().st_gid, "", "/", "")),
        "owner": pwd.struct_passwd(("owner", "x", uid, ORDINARY.pw_gid, "", "/", "")),
    }
    monkeypatch.setattr(pwd, "getpwnam", users.__getitem__)
    assert len(warned(run_as="member", secrets=secrets)) == 1
    if os.geteuid() == 0:
        os.chown(path, uid, -1)
    path.chmod(0o044)  # open to all but its owner
    assert warned(run_as="owner", secrets=secrets) == []
    path.chmod(0o400)
    assert len(warned(run_as="owner", secrets=secrets)) == 1


def test_a_user_who_is_not_there_is_told(warned: Warn) -> None:
    (warning,) = warned(run_as="nobody-of-this-name")
    assert "there is no user 'nobody-of-this-name'" in warning


def pack(folder: Path, **actions: str) -> None:
    """Write a pack with these actions, by name what their metadata says besides."""
    (folder / "packs" / "shop" / "actions").mkdir(parents=True, exist_ok=True)
    (folder / "packs" / "shop" / "pack.yaml").write_text("ref: shop\n")
    for name, more in actions.items():
        path = folder / "packs" / "shop" / "actions" / f"{name}.yaml"
        path.with_suffix(".py").touch()
        path.write_text(f"ref: shop.{name}\nrunner_type: python\nentry_point: {name}.py\n{more}\n")


def test_each_user_that_an_enabled_actions_metadata_names_is_told_once(warned: Warn, reachable: Path) -> None:
    secrets = secrets_file(reachable, 0o644)
    pack(reachable, a="run_as: action", b="run_as: action", c="run_as: root", d="run_as: gone\nenabled: false")
    of_action, of_root = warned(secrets=secrets)
    assert of_action.startswith(f"actions run as action (run_as of shop.a), who can read {reachable}/secrets.toml: ")
    assert of_root.startswith(f"actions run as root (run_as of shop.c), who can read {reachable}/secrets.toml: ")
    pack(reachable, e="")
    of_worker, *others = warned(secrets=secrets)
    assert of_worker.startswith("actions run as the worker's user and can read ")
    assert others == [of_action, of_root]
    pack(reachable, e="run_as: gone")
    assert warned(secrets=secrets)[2].startswith("run_as of shop.e: there is no user 'gone' on this machine")


def test_a_user_whom_the_operator_does_not_allow_runs_nothing_and_is_not_told(warned: Warn, reachable: Path) -> None:
    secrets = secrets_file(reachable, 0o600)
    pack(reachable, a="run_as: root", b="")
    assert warned(secrets=secrets, run_as="action") == []
    (warning,) = warned(secrets=secrets, run_as="action", run_as_allow=["root"])
    assert warning.startswith("actions run as root (run_as of shop.a), ")
    pack(reachable, b="run_as: action")
    secrets_file(reachable, 0o644)
    (warning,) = warned(secrets=secrets, run_as="action")
    assert warning.startswith("actions run as action (run_as of shop.b), ")


def test_packs_that_cannot_be_read_leave_what_the_settings_say(warned: Warn, reachable: Path) -> None:
    pack(reachable, a="run_as: [action]")
    (warning,) = warned(secrets=secrets_file(reachable, 0o644), run_as="action")
    assert warning.startswith("actions run as action (run_as), ")
