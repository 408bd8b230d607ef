"""How a value gets to where a reference says, for the provider that is configured."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.secrets import how_to_store
from attune_tasks.settings import load_settings

TOKEN = "hvs.the-token-of-the-settings"


def said(reference: str, **secrets: Any) -> str:
    """Ask with these settings."""
    text = how_to_store(reference, load_settings(overrides={"secrets": secrets}, environ={}).settings.secrets)
    assert TOKEN not in text
    return text


VAULT = {"url": "https://vault.example.net:8200", "token": TOKEN}


def test_vaults_command_reads_the_value_from_standard_input() -> None:
    text = said("billing/bank#api_key", provider="vault", vault=VAULT)
    assert text.startswith("`vault kv put -mount=secret billing/bank api_key=-` reads it from standard input")
    assert "-mount=kv2 app/api key=-" in said("vault://kv2/app/api#key", provider="file", vault=VAULT)


def test_namespace_and_odd_paths_are_quoted() -> None:
    vault = {**VAULT, "namespace": "team a"}
    command = said("x/$(id) y#k", provider="vault", vault=vault | {"namespace": "team-a"}).split("`")[1]
    assert shlex.split(command) == ["vault", "kv", "put", "-namespace=team-a", "-mount=secret", "x/$(id) y", "k=-"]


@pytest.mark.parametrize(("suffix", "table"), [(".toml", '`["billing/bank"]`'), (".yaml", "`billing/bank:`")])
def test_the_file_and_the_table_are_named(tmp_path: Path, suffix: str, table: str) -> None:
    path = tmp_path / f"secrets{suffix}"
    text = said("billing/bank#api_key", file={"path": str(path)})
    assert text == f"in {path} (mode 0600), beneath {table}, write the field `api_key` with an editor"


def test_where_the_settings_do_not_say_it_names_provider_or_reference() -> None:
    assert said("a/b#c", provider="vault") == "store it as a/b#c"
    assert said("store://a/b#c") == "store it where the provider store reads store://a/b#c"
    assert said("no reference") == "store it as no reference"
    assert "the file of secrets.file.path" in said("a/b#c")
