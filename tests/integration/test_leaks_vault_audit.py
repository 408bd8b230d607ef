"""Vault's audit log as leak-check sees it: with the log of a real server, raw and as it should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from attune_tasks.leaks import Row, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_canary
from attune_tasks.leaks.vault_audit_log import VaultAuditLog
from tests.vault import Vault, unique

WATCHED = Watched(7, "t7", "python")


@pytest.fixture
def value() -> str:
    return make_canary()


@pytest.fixture
def seeker(value: str) -> ValueSeeker:
    made = ValueSeeker()
    made.add(7, {"canary": value})
    return made


def row_of(surface: VaultAuditLog, seeker: ValueSeeker) -> Row:
    (row,) = surface.end([WATCHED])
    assert not seeker.find(repr(row).encode())
    return row


@pytest.mark.parametrize("raw", [True, False])
def test_a_value_is_found_where_the_device_logs_it_raw_and_nowhere_else(
    raw: bool,  # noqa: FBT001 - a parameter
    vault: Vault,
    seeker: ValueSeeker,
    value: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.log"
    device = unique("audit")
    tmp_path.chmod(0o777)
    options = {"file_path": str(path), "log_raw": str(raw).lower(), "mode": "0644"}
    vault.root.sys.enable_audit_device("file", path=device, options=options)
    try:
        surface = VaultAuditLog(seeker, path)
        surface.begin()
        mount = vault.kv()
        vault.put(mount, "canary", {"canary": value})
        read = vault.root.secrets.kv.v2.read_secret_version("canary", mount_point=mount, raise_on_deleted_version=True)
        assert read["data"]["data"]["canary"] == value
    finally:
        vault.root.sys.disable_audit_device(device)
    row = row_of(surface, seeker)
    assert row.verdict == ("LEAK" if raw else "clean"), row
    assert {hit.where for hit in row.hits} == (
        {f"{path}, line of the request", f"{path}, line of the response"} if raw else set()
    )


def write(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def test_what_stood_there_before_is_not_of_the_run(seeker: ValueSeeker, value: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    write(path, value)
    surface = VaultAuditLog(seeker, path)
    surface.begin()
    write(path, "another line")
    assert row_of(surface, seeker).verdict == "clean"


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_log_that_is_rotated_meanwhile_is_looked_at_whole(
    at: str, seeker: ValueSeeker, value: str, tmp_path: Path
) -> None:
    path = tmp_path / "audit.log"
    write(path, "begin")
    surface = VaultAuditLog(seeker, path)
    surface.begin()
    write(path, value if at == "before" else "a line")
    path.rename(tmp_path / "audit.log.1")
    write(path, value if at == "after" else "a line")
    assert row_of(surface, seeker).verdict == "LEAK"


def test_a_log_that_is_cut_is_said_to_be(seeker: ValueSeeker, value: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    write(path, "x" * 1000)
    surface = VaultAuditLog(seeker, path)
    surface.begin()
    os.truncate(path, 0)
    write(path, value.splitlines()[1])
    row = row_of(surface, seeker)
    assert (row.verdict, "was cut" in row.why) == ("LEAK", True)


def test_what_can_not_be_looked_at_is_said(seeker: ValueSeeker, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path / "quiet", "nothing is added to it")
    said = {
        None: "--vault-audit-log",
        tmp_path / "absent": "no such file",
        tmp_path / "pipe": "not a regular file",
        tmp_path / "quiet": "another Vault's",
    }
    for path, why in said.items():
        surface = VaultAuditLog(seeker, path)
        surface.begin()
        row = row_of(surface, seeker)
        assert row.verdict == "not looked at"
        assert why in row.why
