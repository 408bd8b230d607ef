"""Masking a stream as it passes: the same as masking the whole, and nothing of a secret at any time."""

from __future__ import annotations

import pickle
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attune_tasks.masking import Masker, StreamMasker
from tests.unit.test_masking_masker import mixed, texts, values

CANARY = "Canary-7fQ2-stream-x"
PEM = "-----BEGIN KEY-----\nMIIBOgIBAAJB\nAKj34GkxFhD9\n-----END KEY-----\n"


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def followed(stream: StreamMasker, pieces: list[bytes]) -> list[bytes]:
    """Give what is shown after each piece, and at the end."""
    return [*(stream.feed(piece) for piece in pieces), stream.flush()]


@given(values, texts, st.lists(st.integers(0, 80)), st.integers(0, 20))
@example({"s": "aaaa"}, ["aaaaaaaaa"], [1, 2, 3, 4, 5, 6, 7], 3)
@example({"s": "abab", "t": "baba"}, ["abababab"], [3, 4], 0)
@example({"s": "ab#b", "t": "#b\nab#b#"}, ["ab#b\nab#b#a"], [4, 6, 9], 2)
@example({"s": "aaab", "t": "abbbbb"}, ["aaabbbbb"], [5], 5)
def test_a_stream_in_any_pieces_is_masked_as_the_whole_of_it(
    secrets: dict[str, str], pieces: list[str | int], cuts: list[int], skip: int
) -> None:
    masker = Masker(secrets)
    data = mixed(secrets, pieces).encode()
    assert b"".join(followed(masker.stream(skip), split(data, cuts))) == masker.mask_bytes(data, skip)


@given(values, texts)
def test_a_stream_byte_by_byte_is_masked_as_the_whole_of_it(secrets: dict[str, str], pieces: list[str | int]) -> None:
    masker = Masker(secrets)
    data = mixed(secrets, pieces).encode()
    stream = masker.stream()
    assert b"".join(followed(stream, [bytes([byte]) for byte in data])) == masker.mask_bytes(data)


@given(values, texts, st.integers(0, 80))
def test_no_more_is_held_back_than_may_become_something_masked(
    secrets: dict[str, str], pieces: list[str | int], cut: int
) -> None:
    masker = Masker(secrets)
    stream = masker.stream()
    data = mixed(secrets, pieces).encode()[:cut]
    stream.feed(data)
    patterns = masker.search.patterns
    assert stream.held_bytes < max(1, masker.margin)
    held = data[len(data) - stream.held_bytes :]
    assert not held or any(pattern.startswith(held) and pattern != held for pattern in patterns)


def test_what_can_be_no_secret_passes_at_once() -> None:
    stream = Masker({"canary": CANARY}).stream()
    assert stream.feed(b"Enter a name: ") == b"Enter a name: "
    assert stream.feed(b"Can") == b""
    assert stream.feed(b"ada\n") == b"Canada\n"
    assert stream.feed(b"Canary") == b""
    assert stream.flush() == b"Canary"


def test_a_secret_written_byte_by_byte_shows_nothing_of_it_at_any_time() -> None:
    stream = Masker({"canary": CANARY}).stream()
    shown = [stream.feed(character.encode()) for character in f"key {CANARY}!"]
    assert b"".join(shown[:4]) == b"key "
    assert shown[4 : 3 + len(CANARY)] == [b""] * (len(CANARY) - 1)
    assert b"".join(shown) == b"key ***!"


def test_each_line_of_a_secret_of_several_is_masked_where_the_whole_is_not_there() -> None:
    masker = Masker({"pem": PEM})
    whole, alone = PEM.encode(), b"only AKj34GkxFhD9 of it\n"
    for data in (whole, alone, whole[:30] + alone, whole[:-4] + alone):
        for size in (1, 2, 7, 19, 1000):
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
            assert b"".join(followed(masker.stream(), pieces)) == masker.mask_bytes(data)


def test_a_repetition_without_end_is_one_mask_and_holds_little() -> None:
    stream = Masker({"s": "aaaa"}).stream()
    shown = b"".join(stream.feed(b"a" * 1000) for _ in range(100))
    assert shown == b"***"
    assert stream.held_bytes == 3
    assert stream.feed(b"b") == b"b"


@pytest.mark.parametrize("secret", ["a" * 100_000 + "b", "ab" * 50_000 + "c", "x" * 1_000_000])
def test_a_secret_that_all_but_repeats_itself_does_not_make_it_slow(secret: str) -> None:
    stream = Masker({"s": secret}).stream()
    begun = time.process_time()
    stream.feed((secret[:-1] + "?").encode())
    stream.feed(secret[:60_000].encode() + b"?" + secret[:30_000].encode())
    stream.flush()
    assert time.process_time() - begun < 2


def test_with_no_secret_all_passes_and_nothing_is_held() -> None:
    stream = Masker({}).stream()
    assert stream.feed(b"\xff\x00all") == b"\xff\x00all"
    assert stream.held_bytes == 0


def test_a_stream_masker_shows_and_pickles_nothing_of_what_it_holds() -> None:
    stream = Masker({"canary": CANARY}).stream()
    stream.feed(CANARY[:-1].encode())
    assert CANARY[:4] not in repr(stream)
    with pytest.raises(TypeError):
        pickle.dumps(stream)
