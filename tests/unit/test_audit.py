"""The audit trail and the receipts: who read what, from which version, how it ended; and nothing of any value."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets as random
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.context import ExecutionRequest
from attune_tasks.errors import SecretsUnavailableError
from attune_tasks.executor import ActionExecutor, build_executor
from attune_tasks.known_packs import load_packs
from attune_tasks.result import ExecutionResult, Receipt
from attune_tasks.secrets import SecretFields, SecretManager, SecretReference
from attune_tasks.settings import load_settings

KEY = f"sk_live_{random.token_hex(8)}"
OTHER = f"other-{random.token_hex(6)}"
REQUEST_ID = "0e1d2c3b-aaaa-bbbb-cccc-0123456789ab"


class Store:
    """A provider which says what it knows of a read, or nothing, or fails."""

    name = "store"

    def read(self, reference: SecretReference, *, deadline: float) -> Mapping[str, object]:
        """Give the fields at a path."""
        assert deadline
        fields = {"key": KEY, "other": OTHER, "nul": f"{KEY}\0"}
        if reference.path == "plain":
            return fields
        if reference.path == "broken":
            raise ValueError(KEY)
        if reference.path == "refused":
            error = SecretsUnavailableError("it is not there")
            error.request_id = REQUEST_ID
            raise error
        read = SecretFields(fields, version=3, request_id=REQUEST_ID)
        return read.from_cache() if reference.path == "kept" else read

    def describe(self) -> str:
        """Say what this is."""
        return "store"


def executor(folder: Path, **references: str) -> ActionExecutor:
    """Make one for an action which declares these."""
    actions = folder / "packs" / "shop" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: shop\n")
    (actions / "give.sh").write_text("true\n")
    lines = "".join(f"  {name}: {{ref: '{ref}', required: false}}\n" for name, ref in references.items())
    parameters = "parameters:\n  token: {secret: true, allow: ['plain#key']}\n"
    head = "ref: shop.give\nrunner_type: shell\nentry_point: give.sh\n"
    (actions / "give.yaml").write_text(head + parameters + ("secrets:\n" + lines if lines else ""))
    loaded = load_settings(overrides={"packs": [str(folder / "packs")]}, environ={}, directory=folder)
    manager = SecretManager({"store": Store()}, default_provider="store")
    return ActionExecutor(load_packs(loaded), manager, loaded.settings)


def records_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Read the records, each a line of JSON."""
    lines = [record.getMessage() for record in caplog.records if record.name == "attune_tasks.audit"]
    assert all(line.isascii() and "\n" not in line for line in lines)
    return [json.loads(line) for line in lines]


def traces_of(value: str) -> list[str]:
    """Give what could tell of a value, or of parts of it."""
    digests = [hashlib.new(name, value.encode()).hexdigest() for name in ("md5", "sha1", "sha256", "sha512")]
    return [value, value[:8], value[-8:], base64.b64encode(value.encode()).decode(), value.encode().hex(), *digests]


def test_each_secret_has_a_record_and_a_receipt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = executor(tmp_path, a="known#key", b="known#other", c="plain#key")
    request = ExecutionRequest(2**53 + 1, "shop.give", {"token": "plain#key"}, task_id="t-1", caller="carol@host")
    result = made.execute(request)
    made.close()
    assert result.succeeded, result.error
    records = records_of(caplog)
    assert [(each["secret"], each["reference"], each["version"], each["request_id"]) for each in records] == [
        ("a", "known#key", 3, REQUEST_ID),
        ("b", "known#other", 3, REQUEST_ID),
        ("c", "plain#key", None, None),
        ("token", "plain#key", None, None),
    ]
    first = records[0]
    assert datetime.fromisoformat(first.pop("time")).utcoffset() is not None
    assert first == {
        "event": "secret_read",
        "execution_id": "9007199254740993",
        "task_id": "t-1",
        "action": "shop.give",
        "claimed_by": "carol@host",
        "secret": "a",
        "reference": "known#key",
        "provider": "store",
        "version": 3,
        "request_id": REQUEST_ID,
        "cached": False,
        "outcome": "read",
    }
    assert result.receipts == (
        Receipt("a", "known#key", 3),
        Receipt("b", "known#other", 3),
        Receipt("c", "plain#key"),
        Receipt("token", "plain#key"),
    )
    assert result.to_dict()["receipts"][0] == {"name": "a", "reference": "known#key", "version": 3}
    assert ExecutionResult.from_json(result.to_json()) == result


def test_a_record_says_how_a_read_ended_and_whether_it_came_from_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = {"a": "kept#key", "b": "broken#key", "c": "refused#key", "d": "known#kye", "e": "known#nul"}
    made = executor(tmp_path, **names)
    result = made.execute(ExecutionRequest(7, "shop.give"))
    made.close()
    assert [(each["secret"], each["outcome"], each["cached"], each["request_id"]) for each in records_of(caplog)] == [
        ("a", "read", True, REQUEST_ID),
        ("b", "failed", False, None),
        ("c", "failed", False, REQUEST_ID),
        ("d", "no_such_field", False, REQUEST_ID),
        ("e", "unusable", False, REQUEST_ID),
    ]
    assert result.receipts == (Receipt("a", "kept#key", 3),)


def test_records_are_written_where_a_required_secret_keeps_the_action_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Declared:
        required = True
        ref = "broken#key"

    class Action:
        ref = "shop.give"
        secrets = {"a": Declared()}  # noqa: RUF012 - a stand-in

    seen: list[Any] = []
    manager = SecretManager({"store": Store()}, default_provider="store")
    with pytest.raises(SecretsUnavailableError):
        manager.fetch_secrets_for_action(Action(), observe=seen.extend)
    assert [(record.name, record.outcome) for record in seen] == [("a", "failed")]
    assert caplog.records == []


def test_a_provider_that_is_given_up_is_recorded_as_such() -> None:
    class Declared:
        required = False
        ref = "known#key"

    class Action:
        ref = "shop.give"
        secrets = {"a": Declared()}  # noqa: RUF012 - a stand-in

    seen: list[Any] = []
    SecretManager({"store": Store()}, default_provider="store", fetch_timeout=0.0).fetch_secrets_for_action(
        Action(), observe=seen.extend
    )
    assert [record.outcome for record in seen] == ["not_in_time"]


def test_nothing_of_a_value_is_in_record_or_receipt_and_the_same_look_finds_a_planted_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = executor(tmp_path, a="known#key", b="known#", c="plain#other")
    result = made.execute(ExecutionRequest(7, "shop.give", {"token": "plain#key"}, caller="carol"))
    made.close()
    text = json.dumps([*records_of(caplog), *result.to_dict()["receipts"]])
    for value in (KEY, OTHER):
        assert [trace for trace in traces_of(value) if trace in text] == []
        planted = text + hashlib.sha256(value.encode()).hexdigest()
        assert [trace for trace in traces_of(value) if trace in planted] != []
    # Nor its length: all records of values of other lengths are alike.
    wanted = {"time", "event", "execution_id", "task_id", "action", "claimed_by", "secret", "reference", "provider"}
    for record in records_of(caplog):
        assert record.keys() == wanted | {"version", "request_id", "cached", "outcome"}


@pytest.mark.parametrize("caller", ["a\nb", 'x"}\n{"event": "forged"', "\u2028\r\x85", "é" * 1000])
def test_a_callers_name_never_makes_a_second_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, caller: str
) -> None:
    made = executor(tmp_path, a="known#key")
    made.execute(ExecutionRequest(7, "shop.give", caller=caller))
    made.execute(ExecutionRequest(7, "shop.give", caller=caller, caller_verified=True))
    made.close()
    first, second = records_of(caplog)
    assert first["claimed_by"] == second["caller"] == caller[:200]


def test_the_records_come_through_where_the_root_logs_warnings_only() -> None:
    code = (
        "import logging; logging.basicConfig(level=logging.WARNING, format='%(message)s')\n"
        "from datetime import datetime, UTC\n"
        "from attune_tasks.audit import write_audit\n"
        "from attune_tasks.context import ExecutionRequest\n"
        "from attune_tasks.secrets import ReadRecord\n"
        "record = ReadRecord('a', 'x#y', 'store', 'read', datetime.now(UTC))\n"
        "write_audit(ExecutionRequest(1, 'a.b'), 'a.b', [record])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stderr)["secret"] == "a"


def test_the_file_provider_gives_receipts_without_a_version(tmp_path: Path) -> None:
    made = executor(tmp_path)
    made.close()
    secrets_file = tmp_path / "secrets.toml"
    secrets_file.touch(mode=0o600)
    secrets_file.write_text(f"[plain]\nkey = '{KEY}'\n")
    overrides = {"packs": [str(tmp_path / "packs")], "secrets": {"file": {"path": str(secrets_file)}}}
    real = build_executor(load_settings(overrides=overrides, environ={}, directory=tmp_path))
    result = real.execute(ExecutionRequest(7, "shop.give", {"token": "plain#key"}))
    real.close()
    assert result.receipts == (Receipt("token", "plain#key"),)


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="attune_tasks.audit")
