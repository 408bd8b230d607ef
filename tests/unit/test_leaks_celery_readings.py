"""Values are found in forms of forms: bodies of messages, pages, and pieces that belong together."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from attune_tasks._celery.leaks.base import CelerySurface
from attune_tasks._celery.leaks.flower_pages import FlowerPages
from attune_tasks._celery.leaks.monitor import command_of, unescaped
from attune_tasks._celery.leaks.readings import Seam, readings, unseen_at_seams
from attune_tasks.leaks import ValueSeeker
from attune_tasks.leaks.canaries import make_canary

VALUE = make_canary()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WAYS: dict[str, Callable[[str], str]] = {
    "the body of a message": lambda text: json.dumps({"body": b64(json.dumps([[text], {}]))}),
    "a message in a claim": lambda text: json.dumps({"message": json.dumps({"body": b64(json.dumps([text]))})}),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"key": [text]})),
    "a name in JSON": lambda text: json.dumps({text: 1}),
    "base64 of URLs": lambda text: base64.urlsafe_b64encode(json.dumps({"x": text}).encode()).decode(),
    "a page": lambda text: f"<dd>&#x63;{text[1:].replace('&', '&amp;').replace('<', '&lt;')}</dd>",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ["plain", "reversed"])
def test_a_value_is_found_within(way: str, form: str) -> None:
    seeker = ValueSeeker()
    seeker.add(1, {"token": VALUE})
    written = VALUE if form == "plain" else VALUE[::-1]
    if way == "a page":
        written = f"c{VALUE[1:]}" if form == "plain" else f"c{VALUE[::-1]}"
    found = {each.variant for reading in readings(WAYS[way](written).encode()) for each in seeker.find(reading)}
    assert form in found


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b'{"a": 1}', b"\xff" * 100, b"A" * 17, b"{}" * 1000])
def test_anything_can_be_read(data: bytes) -> None:
    assert next(readings(data)) == data
    assert len(list(readings(data))) < 50


def test_what_two_pieces_share_is_found() -> None:
    seeker = ValueSeeker()
    seeker.add(1, {"token": VALUE})
    data, seam = VALUE.encode(), Seam(seeker)
    pieces = [seam.joined(data[at : at + 7]) for at in range(0, len(data), 7)]
    assert seeker.find(pieces[-1])
    assert len(seam.joined(b"x" * 100_000)) > 100_000
    assert len(seam.joined(b"")) < 10_000


@pytest.mark.parametrize("form", [str.encode, lambda text: text.encode().hex(":").encode()])
def test_a_value_as_long_as_a_key_is_found_where_it_comes_in_pieces_also_in_a_longer_form(
    form: Callable[[str], bytes],
) -> None:
    value = base64.b64encode(bytes(number * 7 % 251 for number in range(2400))).decode()
    seeker = ValueSeeker()
    seeker.add(1, {"key": value})
    assert seeker.longest > 12_000
    assert unseen_at_seams(seeker) == ""
    data, seam = form(value), Seam(seeker)
    middle = len(data) // 2
    assert [bool(seeker.find(seam.joined(piece))) for piece in (data[:middle], data[middle:])] == [False, True]
    seeker.add(1, {"long": value * 20})
    assert "longer than 256 KiB" in unseen_at_seams(seeker)
    assert len(Seam(seeker).joined(b"x" * 1_000_000)) == 1_000_000
    seam.joined(b"x" * 1_000_000)
    assert len(seam.joined(b"")) == 256 << 10


def test_what_monitor_escapes_is_unescaped() -> None:
    assert unescaped(rb'"SET" "a\"b\\c\x00\n"') == b'"SET" "a"b\\c\x00\n"'


def test_a_command_is_named_by_its_key_without_a_part_of_a_value_at_the_cut() -> None:
    seeker = ValueSeeker()
    seeker.add(1, {"token": "a-value-of-some-length"})
    for before in range(78, 101):
        key = b"k" * before + b"a-value-of-some-length"
        assert "a-v" not in command_of(b'1 [0 127.0.0.1:1] "SET" "%s" "x"' % key, seeker)
    assert command_of(b'1 [0 127.0.0.1:1] "EVALSHA" "f0" "1" "its key"', seeker) == "command EVALSHA its key"


def test_a_surface_that_looks_at_nothing_is_a_surface() -> None:
    surface = CelerySurface("none", ValueSeeker())
    surface.begin()
    surface.look([])
    assert list(surface.end([])) == []


def test_an_address_of_flower_is_shown_without_its_password() -> None:
    assert FlowerPages("https://me:secret@[::1]:8443/flower/").shown == "https://[::1]:8443/flower"
    assert FlowerPages("http://host").shown == "http://host"
