"""The masker: no pattern is left, nothing else is touched, and a script can't make it slow."""

from __future__ import annotations

import pickle
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attune_tasks.masking import Masker

# Few characters make values that overlap, hold each other and themselves; * is what masks are made of.
hostile = st.text("a*b#é\n\r", max_size=9)
values = st.lists(hostile, max_size=4).map(lambda found: {f"s{index}": value for index, value in enumerate(found)})


def patterns(secrets: dict[str, str]) -> list[bytes]:
    """Say again, in the plainest way, what is to be looked for."""
    found = []
    for value in secrets.values():
        lines = [line.strip("\r") for line in value.split("\n")] if "\n" in value else []
        found += [text.encode() for text in [value, *lines] if len(text) >= 4 and text.strip()]
    return found


def mixed(secrets: dict[str, str], pieces: list[str | int]) -> str:
    """Make text out of ordinary pieces and of the secrets."""
    known = list(secrets.values()) or [""]
    return "".join(known[piece % len(known)] if isinstance(piece, int) else piece for piece in pieces)


def masked_plainly(secrets: dict[str, str], data: bytes, skip: int, mask: bytes) -> bytes:
    """Mask byte by byte: two neighbours are in one run where one occurrence covers both."""
    covered = [False] * len(data)
    joined = [False] * (len(data) + 1)
    for pattern in patterns(secrets):
        for start in range(len(data) - len(pattern) + 1):
            if data[start : start + len(pattern)] == pattern:
                covered[start : start + len(pattern)] = [True] * len(pattern)
                joined[start + 1 : start + len(pattern)] = [True] * (len(pattern) - 1)
    shown = b""
    for index in range(skip, len(data)):
        if not covered[index]:
            shown += data[index : index + 1]
        elif index == skip or not joined[index]:
            shown += mask
    return shown


texts = st.lists(st.one_of(st.integers(0, 9), st.text("a*b#é\n ", max_size=6)), max_size=8)


@given(values, texts)
@example({"s": "****"}, [0, 0, "x****x*****"])
@example({"s": "***a", "t": "secret"}, [1, "aaaaa"])
@example({"s": "*ab#", "t": "#***"}, [0, "***", 1, "*ab"])
def test_masked_output_holds_no_pattern_and_masking_again_changes_nothing(
    secrets: dict[str, str], pieces: list[str | int]
) -> None:
    masker = Masker(secrets)
    shown = masker.mask_bytes(mixed(secrets, pieces).encode())
    assert not [pattern for pattern in patterns(secrets) if pattern in shown]
    assert masker.mask_bytes(shown) == shown


@given(values, texts, st.integers(0, 60))
def test_nothing_but_the_runs_is_replaced(secrets: dict[str, str], pieces: list[str | int], skip: int) -> None:
    masker = Masker(secrets)
    data = mixed(secrets, pieces).encode()
    skip = min(skip, len(data))
    assert masker.mask_bytes(data, skip) == masked_plainly(secrets, data, skip, masker.mask.encode())


@given(values, texts, st.integers(0, 60))
def test_margin_bytes_before_what_is_shown_are_enough(
    secrets: dict[str, str], pieces: list[str | int], skip: int
) -> None:
    masker = Masker(secrets)
    data = mixed(secrets, pieces).encode()
    skip = min(skip, len(data))
    kept = data[max(0, skip - masker.margin) :]
    assert masker.mask_bytes(kept, min(skip, masker.margin)) == masker.mask_bytes(data, skip)


@given(values, st.binary(max_size=60))
def test_bytes_that_are_no_text_pass(secrets: dict[str, str], data: bytes) -> None:
    masker = Masker(secrets)
    assert masker.mask_bytes(data) == masked_plainly(secrets, data, 0, masker.mask.encode())


@given(values, st.text("a*b\ud800\udcff\x00", max_size=20))
def test_text_with_lone_surrogates_is_masked_as_text(secrets: dict[str, str], text: str) -> None:
    masker = Masker(secrets)
    shown = masker.mask_text(text)
    assert not [pattern for pattern in patterns(secrets) if pattern.decode() in shown]
    if shown == text:
        assert not [pattern for pattern in patterns(secrets) if pattern.decode() in text]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | hostile,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3),
    max_leaves=8,
)


@given(values, json_values)
def test_a_json_value_keeps_its_shape_and_holds_no_pattern(secrets: dict[str, str], value: object) -> None:
    masker = Masker(secrets)
    found = [pattern.decode() for pattern in patterns(secrets)]

    def look(before: object, after: object) -> None:
        if isinstance(before, dict):
            assert isinstance(after, dict)
            assert len(after) == len(before)
            assert not [key for key in after for pattern in found if pattern in key]
            for one, other in zip(before.values(), after.values(), strict=True):
                look(one, other)
        elif isinstance(before, list):
            assert isinstance(after, list)
            assert len(after) == len(before)
            for one, other in zip(before, after, strict=True):
                look(one, other)
        elif isinstance(before, str):
            assert isinstance(after, str)
            assert not [pattern for pattern in found if pattern in after]
        else:
            assert after in (before, masker.mask)

    look(value, masker.mask_json(value))


def test_ordinary_secrets_give_three_stars() -> None:
    masker = Masker({"key": "hunter2", "pin": "Pa*ss w**d"})
    assert masker.mask_bytes(b"key=hunter2, pin=Pa*ss w**d.") == b"key=***, pin=***."


def test_overlapping_occurrences_are_one_run_and_touching_ones_two() -> None:
    masker = Masker({"one": "abcdef", "two": "defghi"})
    assert masker.mask_text("<abcdefghi>") == "<***>"
    assert masker.mask_text("<abcdefdefghi>") == "<******>"
    assert masker.mask_text("<abcdefabcdef>") == "<******>"


def test_a_secret_within_a_secret_leaves_no_rest_of_the_outer_one() -> None:
    assert Masker({"inner": "word", "outer": "pass-word-1"}).mask_text("pass-word-1 word sword") == "*** *** s***"


def test_each_line_of_a_value_is_masked_alone_too() -> None:
    masker = Masker({"pem": "-----BEGIN\r\nMIIEvQ==\r\nab\r\n    \r\n-----END\n"})
    assert masker.mask_text("cut: MIIEvQ== ab     |-----END") == "cut: *** ab     |***"
    assert masker.mask_text("-----BEGIN\r\nMIIEvQ==\r\nab\r\n    \r\n-----END\n") == "***"


def test_values_under_four_characters_are_not_masked() -> None:
    masker = Masker({"short": "abc", "empty": ""})
    assert masker.margin == 0
    assert masker.mask_bytes(b"abcabc", 2) == b"cabc"
    assert Masker({"four": "äöüß"}).mask_text("äöüß") == "***"


def test_the_margin_is_counted_in_bytes() -> None:
    # hex is the longest form of it, with two bytes of line break between any two of its own
    assert Masker({"one": "äöüß", "two": "abcdef"}).margin == 16 + 2 * 15
    assert Masker({"one": "-" * 64_000 + "\n"}).margin > 2 * 64_000


def test_a_run_that_reaches_over_skip_gives_a_mask_at_the_start() -> None:
    masker = Masker({"key": "hunter2"})
    assert masker.mask_bytes(b"..hunter2..", 5) == b"***.."
    assert masker.mask_bytes(b"..hunter2..", 9) == b".."
    assert masker.mask_bytes(b"..hunter2..", 2) == b"***.."


@pytest.mark.parametrize("value", ["****", "*abc", "abc*", "ab***cd"])
def test_where_stars_could_complete_a_secret_another_mask_is_used(value: str) -> None:
    masker = Masker({"odd": value, "plain": "hunter2"})
    assert masker.mask == "###"
    assert masker.mask_text(f"{value} hunter2") == "### ###"


def test_the_mask_avoids_every_character_that_is_dangerous() -> None:
    masker = Masker({"odd": "*=*#", "more": "~~~~", "lines": "=abc\n##ab"})
    assert masker.mask == "\u2588" * 3
    assert masker.mask_text("(~~~~)") == "(\u2588\u2588\u2588)"


def test_numbers_that_hold_a_secret_become_the_mask() -> None:
    masker = Masker({"pin": "471147", "long": "1234567890123"})
    before: dict[str, object] = {"pin": 471147, "in": 14711470, "big": 1234567890123, "float": 471147.5}
    before |= {"other": 42, "yes": True, "no": None}
    assert masker.mask_json(before) == {
        "pin": "***",
        "in": "***",
        "big": "***",
        "float": "***",
        "other": 42,
        "yes": True,
        "no": None,
    }


def test_keys_alike_when_masked_lose_nothing() -> None:
    masker = Masker({"one": "hunter2", "two": "hunter3", "end": "-r (", "digits": "end2"})
    before = {"hunter2": 1, "hunter3": 2, "***": 3, "hunter2-end": 4, "hunter3-end": 5, "***2": 6}
    shown = masker.mask_json(before)
    assert shown == {"***": 1, "***2": 2, "***3": 3, "***-end": 4, "***-end***2": 5, "***2***2": 6}


def test_a_masked_key_gets_no_number_that_is_a_secret() -> None:
    assert Masker({"key": "hunter2", "odd": "100000"}).mask_json({"100000": "hunter2", "hunter2": 100000}) == {
        "***": "***",
        "***2": "***",
    }


def test_what_is_no_json_value_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes is no JSON value"):
        Masker({}).mask_json([b"hunter2"])


def test_a_masker_shows_no_value_and_is_not_pickled() -> None:
    masker = Masker({"key": "hunter2"})
    assert repr(masker) == "Masker(1 values)"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(masker)


@pytest.mark.parametrize(
    "pattern",
    ["aaaa", "a" * 1000, "a" * 200_000, "abab", "ab" * 50_000, "a" * 50_000 + "b", "a" * 50_000 + "b" + "a" * 50_000],
    ids=["aaaa", "a-1000", "a-200000", "abab", "ab-50000", "end-differs", "middle-differs"],
)
@pytest.mark.parametrize("unit", ["a", "ab", "a" * 50_000 + "b"], ids=["a", "ab", "long"])
def test_patterns_that_repeat_themselves_take_linear_time(pattern: str, unit: str) -> None:
    # A quadratic search takes minutes here; the limit leaves room for a busy machine.
    data = (unit * (1_000_000 // len(unit) + 1)).encode()
    masker = Masker({"odd": pattern})
    started = time.process_time()
    shown = masker.mask_bytes(data)
    assert time.process_time() - started < 5
    assert pattern.encode() not in shown


def test_the_texts_within_a_secret_that_is_json_are_masked_too() -> None:
    masker = Masker({"whole": '{"user": "robot-7", "deep": [{"key": "k-\\u00e4-secret\\nsecond line"}], "n": 1}'})
    assert masker.mask_text("robot-7 k-ä-secret second line user deep 1") == "*** *** *** user deep 1"
    assert Masker({"odd": "[not json at all"}).mask_text("[not json at all") == "***"
