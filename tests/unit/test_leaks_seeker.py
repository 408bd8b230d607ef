"""Values are found in every form, by execution and name, and shown in none."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote

import pytest

from attune_tasks.leaks import Findings, Found, Row, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_canary, make_short_canary


def seeker_of(value: str) -> ValueSeeker:
    seeker = ValueSeeker()
    seeker.add(7, {"token": value})
    return seeker


WAYS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "JSON": lambda text: json.dumps(text).encode(),
    "URL": lambda text: quote(text).encode(),
    "XML": lambda text: html.escape(text).encode(),
    "shell": lambda text: shlex.quote(text).encode(),
    "Python": lambda text: ascii(text).encode(),
    "hex": lambda text: text.encode().hex().upper().encode(),
    "base64": lambda text: base64.encodebytes(b"x:" + text.encode()),
    "base32": lambda text: base64.b32encode(text.encode()),
    "base85": lambda text: base64.b85encode(text.encode()),
    "reversed": lambda text: text.encode()[::-1],
    "hex with separators": lambda text: text.encode().hex(":").encode(),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "utf-32-le": lambda text: text.encode("utf-32-le"),
    "utf-32-be": lambda text: text.encode("utf-32-be"),
}


@pytest.mark.parametrize("family", WAYS)
def test_a_canary_is_found_in_each_form_and_masked(family: str) -> None:
    value = make_canary()
    seeker = seeker_of(value)
    shown = b"before " + WAYS[family](value) + b" after"
    assert Found(7, "token", family) in seeker.find(shown)
    assert seeker.find(b"before and after") == []
    masked = seeker.mask(shown.decode(errors="surrogateescape"))
    assert not seeker.find(masked.encode()), masked
    assert masked.startswith("before ")


def test_a_short_canary_is_found_in_15_bytes() -> None:
    value = make_short_canary()
    assert len(value) <= 15
    assert seeker_of(value).find(value.encode()) == [Found(7, "token", "plain")]


def test_one_value_of_two_executions_is_found_for_both() -> None:
    seeker = ValueSeeker()
    seeker.add(1, {"a": "the-same-value"})
    seeker.add(2, {"b": "the-same-value", "tiny": "x"})
    assert seeker.find(b"the-same-value") == [Found(1, "a", "plain"), Found(2, "b", "plain")]
    assert seeker.ignored == [(2, "tiny")]


def test_rows_tell_leaks_by_runtime_and_hold_no_value() -> None:
    value = make_short_canary()
    findings = Findings("environ", seeker_of(value))
    python, shell = Watched(7, "t7", "python"), Watched(8, "t8", "shell")
    assert findings.search(b"KEY=" + value.encode(), f"/proc/1/environ of {value}", f"curl {value}")
    assert not findings.search(b"KEY=other", "elsewhere")
    findings.not_looked_at("run as root", "shell")
    findings.partly("one was too big")
    rows = list(findings.rows([python, shell]))
    assert [(row.runtime, row.verdict, row.why) for row in rows] == [
        ("python", "LEAK", "one was too big"),
        ("shell", "not looked at", "run as root; one was too big"),
    ]
    assert value not in json.dumps([row.to_dict() for row in rows])
    assert rows[0].hits[0].program == "curl ***"
    assert [Row.from_dict(json.loads(json.dumps(row.to_dict()))) for row in rows] == rows


def test_one_place_is_one_hit_with_the_program_that_was_known_in_any_look() -> None:
    value = make_short_canary()
    findings = Findings("files", seeker_of(value))
    for program in ("", "curl -o it", "", "cat it"):
        findings.search(value.encode(), "/tmp/it", program)
    (row,) = findings.rows([Watched(7, "t7", "python")])
    assert [hit.program for hit in row.hits] == ["curl -o it"]


def test_a_part_of_a_value_is_found_as_it_is_masked_and_what_all_keys_have_is_not() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\n-----END PRIVATE KEY-----\n"
    seeker = seeker_of(json.dumps({"user": "svc", "private_key": key, "more": ["within-a-list"]}))
    assert seeker.find(b"curl -d MIIEvQIBADANBgkqhkiG") == [Found(7, "token", "plain")]
    assert seeker.find(base64.b64encode(b"x: within-a-list")) == [Found(7, "token", "base64")]
    assert seeker.find(b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n") == []
    many = seeker_of("\n".join(f"line {number} of it" for number in range(100)))
    assert many.find(b"it says line 99 of it") == [Found(7, "token", "plain")]


def test_what_is_too_short_to_be_looked_for_is_masked_all_the_same() -> None:
    seeker = seeker_of("a-longer-value")
    seeker.add(8, {"pin": "pIn7x", "doc": json.dumps({"user": "svc7"})})
    assert seeker.find(b"curl -d pin=pIn7x -u svc7") == []
    assert seeker.mask("curl -d pin=pIn7x -u svc7 a-longer-value") == "curl -d pin=*** -u *** ***"
    seeker.add(9, {"pin": "otherpin"[:7]})
    assert seeker.mask("otherpi pIn7x") == "*** ***"
