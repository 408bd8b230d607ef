"""The pieces of the process layer: the kept end of a stream, and the control channel."""

from __future__ import annotations

import json
import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attune_tasks.masking import Masker
from attune_tasks.process.control import MAX_DEPTH, MAX_ERROR_CHARACTERS, MAX_LINE_BYTES, Control
from attune_tasks.process.output import NoFilter, TailBuffer


def kept(chunks: list[bytes], cap: int, secrets: dict[str, str] | None = None) -> tuple[str, bool]:
    buffer = TailBuffer(cap, Masker(secrets) if secrets else NoFilter())
    for chunk in chunks:
        buffer.append(chunk)
    return buffer.finish()


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)), st.integers(0, 100))
def test_the_end_is_kept_however_the_stream_is_cut_into_chunks(data: bytes, cuts: list[int], cap: int) -> None:
    text, truncated = kept(split(data, cuts), cap)
    assert (text, truncated) == kept([data], cap)
    assert truncated == (len(data) > cap)
    if not truncated:
        assert text == data.decode(errors="replace")


@given(st.text("abcsx", max_size=200), st.lists(st.integers(0, 200)), st.integers(0, 60))
def test_no_cut_leaves_any_secret_and_all_chunkings_agree(text: str, cuts: list[int], cap: int) -> None:
    secrets = {"one": "abcabc", "two": "cabx", "three": "abcabcab"}
    shown, _ = kept(split(text.encode(), cuts), cap, secrets)
    assert (shown, _) == kept([text.encode()], cap, secrets)
    assert not any(secret in shown for secret in secrets.values())
    assert shown in Masker(secrets).mask_text(text) or shown.lstrip("*") in Masker(secrets).mask_text(text)


def test_a_secret_at_the_front_of_what_is_kept_never_shows_its_second_half() -> None:
    secret = "0123456789ABCDEF"
    for before in range(40):
        # Masks make the text shorter than the cap: the broken secret in front must not slide into view.
        data = b"." * before + secret.encode() * 30 + b"!"
        shown, truncated = kept([data[:97], data[97:]], 60, {"s": secret})
        assert truncated
        assert set(shown) <= set("*!.")


@pytest.mark.parametrize("size", [1, 1000, 16384, 65536])
def test_a_stream_far_longer_than_the_cap_is_kept_in_bounded_memory(size: int) -> None:
    buffer = TailBuffer(100_000, NoFilter())
    tracemalloc.start()
    for _ in range(600_000 // size):
        buffer.append(b"x" * size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 400_000
    assert buffer.raw() is None
    assert buffer.finish() == ("x" * 100_000, True)


@pytest.mark.parametrize("size", [1, 16384, 100_000])
def test_nothing_at_all_may_be_kept(size: int) -> None:
    buffer = TailBuffer(0, NoFilter())
    buffer.append(b"x" * size)
    buffer.append(b"y" * size)
    assert buffer.finish() == ("", True)


def control(*lines: bytes) -> Control:
    reader = Control()
    for line in lines:
        reader.feed(line)
    return reader


def message(value: object) -> bytes:
    return json.dumps({"type": "result", "value": value}).encode() + b"\n"


@given(st.lists(st.integers(0, 80)))
def test_messages_are_read_however_they_are_cut(cuts: list[int]) -> None:
    reader = control(*split(message({"a": 1}) + b"junk\n" + message([2]), cuts))
    assert (reader.result, reader.has_result, reader.ignored) == ([2], True, 1)


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"null", b"{", b"\xff", b'{"type":"result"}', b'{"type":"odd","value":1}', b'{"type":"error"}',
     b'{"type":"error","error_type":1,"message":"x"}', b"[" * 100_000],
)  # fmt: skip
def test_junk_is_counted_and_ignored(line: bytes) -> None:
    reader = control(line + b"\n")
    assert (reader.has_result, reader.error, reader.ignored) == (False, None, 1)


def test_a_line_without_its_end_is_no_message() -> None:
    assert not control(message(1)[:-1]).has_result


def test_a_line_that_is_too_long_is_dropped_and_the_next_one_read() -> None:
    long = message("x" * MAX_LINE_BYTES)
    reader = control(*(long[at : at + 65536] for at in range(0, len(long), 65536)), message(1))
    assert (reader.result_fault, reader.result, reader.ignored) == (None, 1, 1)
    assert control(long).result_fault == "result_too_large"


def test_a_result_is_limited_in_depth() -> None:
    def nested(depth: int) -> bytes:
        return b'{"type":"result","value":' + b"[" * depth + b"]" * depth + b"}\n"

    assert control(nested(MAX_DEPTH)).has_result
    assert control(nested(600)).result_fault == "result_too_deep"
    deeper = control(nested(MAX_DEPTH + 1))
    assert (deeper.has_result, deeper.result_fault) == (False, "result_too_deep")


@pytest.mark.parametrize("value", ["NaN", "[Infinity]", "1e999", '"\\ud800"', '{"\\udc00":1}', "x"])
def test_a_value_that_other_readers_of_json_refuse_is_no_result(value: str) -> None:
    reader = control(f'{{"type":"result","value":{value}}}\n'.encode())
    assert (reader.has_result, reader.result_fault) == (False, "result_not_json")


def test_a_lone_surrogate_in_an_error_is_shown_as_a_question_mark() -> None:
    assert control(b'{"type":"error","error_type":"E","message":"a\\ud800"}\n').error == {"type": "E", "message": "a?"}


def test_millions_of_empty_lines_cost_little() -> None:
    reader = Control()
    started = time.process_time()
    for _ in range(16):
        reader.feed(b"\n" * 65536)
    assert reader.ignored == 1 << 20
    assert time.process_time() - started < 5, "a reader that parses each takes 10 s"


def test_an_error_is_cut_to_size() -> None:
    line = json.dumps({"type": "error", "error_type": "E", "message": "m" * 100_000}).encode() + b"\n"
    assert control(line).error == {"type": "E", "message": "m" * MAX_ERROR_CHARACTERS}
