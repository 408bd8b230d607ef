"""Parameters from the command line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click
import pytest

from attune_tasks.cli.parameters import read_parameters
from attune_tasks.errors import InvalidParametersError
from attune_tasks.packs import Action, PackRegistry

SCHEMA = """
  text: {type: string}
  maybe: {type: [string, "null"]}
  number: {type: integer}
  token: {secret: true, allow: ["a/b#c"]}
"""


@pytest.fixture
def action(tmp_path: Path) -> Action:
    actions = tmp_path / "t" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: t", encoding="utf-8")
    (actions / "x.sh").write_text("", encoding="utf-8")
    yaml = f"ref: t.x\nrunner_type: shell\nentry_point: x.sh\nparameters:{SCHEMA}"
    (actions / "x.yaml").write_text(yaml, encoding="utf-8")
    return PackRegistry.load([tmp_path], runtimes=["shell"]).get("t.x")


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("text=12", "12"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("maybe=null", "null"),
        ("number=12", 12),
        ("number=12a", "12a"),
        ("number=NaN", "NaN"),
        ("number=-Infinity", "-Infinity"),
        ("token=12", "12"),
        ("unknown=[1]", [1]),
    ],
)
def test_a_value_is_read_as_its_schema_says(action: Action, pair: str, expected: Any) -> None:
    assert read_parameters([pair], None, action) == {pair.partition("=")[0]: expected}


def test_of_an_action_that_is_not_known_here_values_are_json_where_they_can_be() -> None:
    assert read_parameters(["a=1", "b=x", 'c={"d": null}'], None, None) == {"a": 1, "b": "x", "c": {"d": None}}


def test_deeply_nested_text_stays_text() -> None:
    assert read_parameters(["a=" + "[" * 100_000], None, None) == {"a": "[" * 100_000}


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(InvalidParametersError, match="'a' is given twice"):
        read_parameters(["a=1", "a=1"], None, None)


@pytest.mark.parametrize("pair", ["hunter2", "=hunter2"])
def test_text_that_is_no_pair_is_refused_and_not_repeated(pair: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        read_parameters([pair], None, None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("document", ['{"password": "hunter2"', '["hunter2"]', '{"a": NaN, "b": "hunter2"}'])
def test_a_document_that_is_no_json_object_is_refused_and_not_repeated(document: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        read_parameters([], document, None)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_document_comes_from_a_file_or_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.json").write_text('{"a": 1, "b": 2}', encoding="utf-8")
    assert read_parameters(["b=3"], f"@{tmp_path}/p.json", None) == {"a": 1, "b": 3}
    monkeypatch.setattr("sys.stdin", io.StringIO('{"c": 4}'))
    assert read_parameters([], "-", None) == {"c": 4}
