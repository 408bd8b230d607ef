"""The secrets' line, against its test vectors and against a plain JSON reader."""

from __future__ import annotations

import json
import secrets
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attune_tasks.errors import InvalidSecretError
from attune_tasks.wire import BLOCK, NAME_PATTERN, encode_secrets
from tests.vectors import CARRIED, REFUSED, expected_line

VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.mark.parametrize("vector", CARRIED, ids=lambda vector: vector["name"])
def test_the_line_is_that_of_the_vector(vector: dict[str, Any]) -> None:
    assert encode_secrets(vector["secrets"]) == expected_line(vector["text"])


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["name"])
def test_what_can_not_be_carried_is_refused_and_not_quoted(vector: dict[str, Any]) -> None:
    with pytest.raises(InvalidSecretError) as caught:
        encode_secrets(vector["secrets"])
    assert caught.value.__context__ is None


def test_a_refusal_names_the_secret_and_shows_no_value() -> None:
    values = [secrets.token_hex(8), secrets.token_hex(8)]  # not in this file's text, which a traceback shows
    with pytest.raises(InvalidSecretError, match="'broken'") as caught:
        encode_secrets({"good": values[0], "broken": values[1] + "\ud800"})
    shown = "".join(traceback.format_exception(caught.value, chain=True)) + repr(caught.value.__dict__)
    assert "'broken'" in shown
    assert not any(value in shown for value in values)


@given(st.dictionaries(st.from_regex(NAME_PATTERN, fullmatch=True), VALUES))
def test_any_line_is_plain_json_in_whole_blocks_with_one_newline(values: dict[str, str]) -> None:
    line = encode_secrets(values)
    assert json.loads(line) == values
    assert len(line) % BLOCK == 0
    assert line.index(b"\n") == len(line) - 1
    assert line.count(b'"') == 4 * len(values)
    assert not any(byte < 0x20 or byte == 0x7F for byte in line[:-1])


def test_the_length_of_the_line_hides_the_length_of_a_short_secret() -> None:
    assert {len(encode_secrets({"a": "x" * length})) for length in range(400)} == {BLOCK}
