"""The search behind the masker: any split gives what the whole gives, with a matcher and without; nothing gets by."""

from __future__ import annotations

import base64
import sys
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attune_tasks.masking import Masker, anchors, sought, variants, variants_of
from attune_tasks.masking.anchors import Anchors
from attune_tasks.masking.joined_lines import JoinedLines
from attune_tasks.masking.sieve import Sieve
from attune_tasks.masking.variants import Variants

SECRETS = {
    "key": "sk_live/51H+x?8 z",
    "pass": "P@ss \"w'ord\\%",
    "pem": "-----BEGIN KEY-----\nMIIBOgIBAAJBAKj3\n4GkxFhD9\n-----END KEY-----\n",
    "nested": "live/51H",
    "repeats": "ababababab",
}
LINES = "\n".join(f"{number * 2654435761 % (1 << 32):08x}" for number in range(2_000))
ALL = sorted({variant for value in SECRETS.values() for variant in variants_of(value)})
ENCODED = [base64.b64encode(value.encode()) for value in SECRETS.values()]

pieces = st.one_of(
    st.sampled_from(ALL),
    st.sampled_from(ENCODED),
    st.sampled_from(ALL).flatmap(lambda variant: st.integers(0, len(variant)).map(lambda cut: variant[:cut])),
    st.sampled_from(ALL).flatmap(lambda variant: st.integers(0, len(variant)).map(lambda cut: variant[cut:])),
    st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n\n\n", b"\r", b" ", b"=", b"ab", b"a", b"'", b"\\"]),
    st.binary(max_size=4),
)
broken = st.tuples(st.sampled_from(ENCODED), st.lists(st.integers(0, 70), max_size=4)).map(
    lambda drawn: b"\n".join(
        drawn[0][start:end] for start, end in pairwise([0, *sorted(drawn[1]), len(drawn[0])]) if start <= end
    )
)
texts = st.lists(st.one_of(pieces, broken), max_size=7).map(b"".join)


def in_pieces(masker: Masker, data: bytes, cuts: list[int]) -> bytes:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    stream = masker.stream()
    return b"".join([*(stream.feed(data[start:end]) for start, end in pairwise(edges)), stream.flush()])


def left_of(data: bytes) -> list[bytes]:
    return [variant for variant in ALL if variant in data]


@settings(deadline=None)
@given(texts, st.lists(st.integers(0, 200), max_size=8), st.sampled_from(["plain", "named"]))
@example(b"YWJhYmFiYWJhYg==", [3], "plain")
@example(b"c\n2tfbGl2ZS81MUgreD84IHo=", [1, 2], "named")
def test_any_split_of_any_text_gives_what_the_whole_gives_and_nothing_gets_by(
    data: bytes, cuts: list[int], style: str
) -> None:
    masker = Masker(SECRETS, "named" if style == "named" else "plain")
    whole = masker.mask_bytes(data)
    assert in_pieces(masker, data, cuts) == whole
    assert left_of(whole) == []
    assert masker.mask_bytes(whole) == whole


@settings(deadline=None)
@given(texts)
def test_one_byte_at_a_time_gives_the_same_and_holds_no_more_than_the_longest(data: bytes) -> None:
    masker = Masker(SECRETS)
    stream = masker.stream()
    shown = b""
    for byte in data:
        shown += stream.feed(bytes([byte]))
        assert left_of(shown) == []
        assert stream.held_bytes < masker.margin
    assert shown + stream.flush() == masker.mask_bytes(data)


@given(texts)
def test_nothing_else_is_changed(data: bytes) -> None:
    masker = Masker(SECRETS)
    runs = list(masker.search.runs(data))
    position, rest, shown = 0, [], masker.mask_bytes(data)
    for run in runs:
        rest.append(data[position : run.start])
        position = run.end
    assert shown == b"***".join([*rest, data[position:]])
    joined = JoinedLines(data).data
    for run in runs:
        inside = JoinedLines(data[run.start : run.end]).data
        assert any(variant in inside or variant[1:] in inside for variant in ALL)
    assert runs or not left_of(joined)


def test_the_same_check_catches_a_variant_that_is_not_looked_for() -> None:
    planted = SECRETS["key"].encode()[::-1]
    assert planted in Masker(SECRETS).mask_bytes(b"<" + planted + b">")
    one_less = dict(SECRETS)
    del one_less["pass"]
    assert left_of(Masker(one_less).mask_bytes(b"<" + SECRETS["pass"].encode() + b">")) != []


@settings(deadline=None)
@given(texts, st.lists(st.integers(0, 200), max_size=4))
def test_with_a_matcher_from_the_first_byte_all_is_the_same(data: bytes, cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plain, matched = Masker(SECRETS), Masker(SECRETS)
        expected = plain.mask_bytes(data)
        patch.setattr(anchors, "_WORTH_A_MATCHER", 0)
        assert matched.mask_bytes(data) == expected
        assert in_pieces(matched, data, cuts) == expected


def test_a_matcher_is_made_when_it_pays_and_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"".join(b"line %d of the log\n" % number for number in range(3000)) + b"sk_live_x\n"
    found = Anchors([b"sk_live_x"])
    assert found.candidates(data[:100]) == []
    assert found._matcher is None
    assert found.candidates(data) == [b"sk_live_x"]
    assert found._matcher is not None
    monkeypatch.setitem(sys.modules, "ahocorasick_rs", None)
    without = Anchors([b"sk_live_x"])
    assert without.candidates(data) == [b"sk_live_x"]
    assert without._matcher is None
    assert without.open_from(data + b"sk_live") == len(data)


@given(st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text), st.integers(0, 20))
@example("it's", 0)
@example("****", 3)
@example("äöüß", 3)
def test_the_sieve_lets_no_variant_pass(value: str, cut: int) -> None:
    sieve = Sieve([value])
    for variant in variants_of(value):
        assert sieve.may_hold(b"<" + variant + b">"), variant
    for variant in Masker({"s": value}).search._broken:
        assert sieve.may_hold(variant[:cut] + b"\r\n" + variant[cut:]), variant


def test_what_is_short_and_holds_nothing_makes_no_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def all_variants(value: str) -> Variants:
        made.append(value)
        return variants.all_variants(value)

    monkeypatch.setattr(sought, "all_variants", all_variants)
    masker = Masker({"one": "sk_live_0123456789abcdef", "two": 'a "quoted" \\ value', "three": "line one\nline two"})
    assert masker.mask_bytes(b"2026-01 24 18 17\n") == b"2026-01 24 18 17\n"
    assert masker.mask_text("packed it: 42 rows of 3 tables") == "packed it: 42 rows of 3 tables"
    assert masker.stream().flush(b"all well\n") == b"all well\n"
    assert masker.mask_json({"month": "2026-01", "length": 59}) == {"month": "2026-01", "length": 59}
    assert made == []
    masker.mask_text("quoted")
    assert len(made) == 3


def test_names_stand_in_the_mask_and_are_counted() -> None:
    masker = Masker(SECRETS, "named")
    text = f"<{SECRETS['key']}> {SECRETS['nested']} {base64.b64encode(SECRETS['pass'].encode()).decode()}"
    assert masker.mask_text(text, "stdout") == "<***key***> ***nested*** ***pass***"
    masker.mask_json({"a": [SECRETS["key"]], SECRETS["key"]: 1}, "result")
    assert masker.counts == {
        "key": {"stdout": 1, "result": 2},
        "nested": {"stdout": 1},
        "pass": {"stdout": 1},
    }


@pytest.mark.parametrize("value", ["token", "name_of_token_here", "oken"])
def test_a_name_that_holds_a_value_is_not_shown(value: str) -> None:
    masker = Masker({"token": value, "name_of_token_here": "another-value"}, "named")
    shown = masker.mask_text(f"{value} another-value")
    assert value not in shown
    assert shown.startswith("***")


@pytest.mark.parametrize(
    "value",
    ["a" * 50_000 + "b", "ab" * 50_000 + "c", "x" * 100_000, "0123456789abcdef \"'\\\n" * 10_000, LINES],
    ids=["end-differs", "ab", "x", "lines", "many-lines"],
)
def test_long_and_odd_values_take_bounded_time(value: str) -> None:
    masker = Masker({"odd": value})
    data = (value[:-1] + "?" + value[: len(value) // 2] + value).encode() + base64.encodebytes(value.encode())
    begun = time.process_time()
    shown = masker.mask_bytes(data)
    stream = masker.stream()
    split = b"".join(stream.feed(data[at : at + 65536]) for at in range(0, len(data), 65536)) + stream.flush()
    assert time.process_time() - begun < 10
    assert value.encode() not in shown
    assert split == shown
