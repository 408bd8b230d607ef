"""Tests for the pack `hello`: pytest tests/test_hello.py."""

from pathlib import Path

from attune_tasks.testing import run_local

PACKS = Path(__file__).parents[1] / "packs"


def test_greet_signs_its_greeting():
    result = run_local("hello.greet", {"name": "Ada"}, packs=[PACKS], secrets={"key": "a key for this test"})
    assert result.status == "succeeded", result.stderr
    assert result.result["greeting"] == "Hello, Ada!"
    assert len(result.result["signature"]) == 64


def test_greet_needs_a_name():
    result = run_local("hello.greet", {}, packs=[PACKS], secrets={"key": "a key for this test"})
    assert result.status == "error"
    assert result.error["type"] == "invalid_parameters"


def test_backup_packs_the_folder(tmp_path):
    (tmp_path / "data.txt").write_text("something to keep")
    secrets = {"passphrase": "a passphrase for this test"}
    result = run_local("hello.backup", {"folder": str(tmp_path)}, packs=[PACKS], secrets=secrets)
    assert result.status == "succeeded", result.stderr
    assert result.result["bytes"] > 0
