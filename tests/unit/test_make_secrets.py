"""docker/make-secrets: files for compose.yaml, closed to others, made once, and never shown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs_blocks import ROOT

FOR_REDIS = "redis.conf"  # which has a user of its own
USER_FOR_ROOT = 10001


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Give a copy, which writes beside itself."""
    return Path(shutil.copy2(ROOT / "docker" / "make-secrets", tmp_path))


def run(script: Path, *arguments: Path) -> str:
    return subprocess.run([script, *arguments], check=True, capture_output=True, text=True, timeout=30).stdout


def test_its_files_are_closed_to_others_and_of_the_containers_user(script: Path) -> None:
    run(script)
    folder = script.parent / "secrets"
    user = os.geteuid() or USER_FOR_ROOT
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == (0o644 if path.name == FOR_REDIS else 0o600), path.name
        assert path.stat().st_uid == user, path.name
    said = (script.parent / ".env").read_text(encoding="utf-8")
    assert said == f"ATTUNE_USER={user}\nATTUNE_SECRETS={folder}\n"


def test_a_folder_that_was_open_before_is_closed(script: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir(mode=0o755)
    run(script, folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_there_stays_and_no_value_is_printed(script: Path) -> None:
    printed = run(script)
    folder = script.parent / "secrets"
    before = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    printed += run(script)
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == before
    assert sorted(set(printed.split())) == sorted(str(folder / name) for name in before)
    password = before[FOR_REDIS].split()[1]
    assert before["broker_url"] == f"redis://:{password}@redis:6379/0\n"
    values = {password, *before["message_keys"].split(), *before["admin_password"].split()}
    values |= {value for fields in json.loads(before["vault_secrets.json"]).values() for value in fields.values()}
    assert len(values) == len({value for value in values if value not in printed}) == 6
