"""Variants: what other programs make of a value is recognised, each by what such a program gives."""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
import shlex
import subprocess
import urllib.parse
from collections.abc import Callable
from xml.sax import saxutils

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attune_tasks.masking import Masker, is_maskable, variants_of
from attune_tasks.masking.encodings import encodings_of
from attune_tasks.wire import encode_secrets

HOSTILE = "p\"a's\\s/w&<o>r=d ä+#?$`!%;\t~(*)é\n2nd, {line} €\x1b[0m"
PLAIN = "sk_live_0123456789abcdef"
VALUES = (
    HOSTILE,
    PLAIN,
    "has one space",
    "äöüß-Ω",
    "it's",
    'say "x"',
    "back\\slash",
    "a\tb\rc\x01d",
    "https://u:p@h/?q=1&r=~",
)

# What stands between the quotes, where there are some.
WRITERS: dict[str, Callable[[str], str]] = {
    "json": lambda text: json.dumps(text)[1:-1],
    "json not ascii": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json of php": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json of go": lambda text: (
        json.dumps(text, ensure_ascii=False)[1:-1]
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
    ),
    "the secrets' line": lambda text: encode_secrets({"s": text}).decode().rstrip()[len('{"s":"') : -len('"}')],
    "url": urllib.parse.quote,
    "url, strict": lambda text: urllib.parse.quote(text, safe=""),
    "url, lower": lambda text: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(text, safe="")),
    "form": urllib.parse.quote_plus,
    "encodeURIComponent": lambda text: urllib.parse.quote(text, safe="!'()*"),
    "encodeURI": lambda text: urllib.parse.quote(text, safe="!'()*;/?:@&=+$,#"),
    "html": html.escape,
    "html without quotes": lambda text: html.escape(text, quote=False),
    "xml": saxutils.escape,
    "xml attribute": lambda text: saxutils.escape(text, {'"': "&quot;", "'": "&apos;"}),
    "jinja": lambda text: html.escape(text, quote=False).replace('"', "&#34;").replace("'", "&#39;"),
    "shlex": lambda text: shlex.quote(text + " ")[1:-2],
    "repr": lambda text: repr(text)[1:-1],
    "repr within another": lambda text: repr(f"'\"{text}")[4:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "unicode_escape": lambda text: codecs.encode(text, "unicode_escape").decode(),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64url without padding": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("value", VALUES)
def test_what_a_writer_makes_of_a_value_is_recognised(writer: str, value: str) -> None:
    written = WRITERS[writer](value)
    if len(written) >= 8:
        assert Masker({"s": value}).mask_text(f"<{written}>") == "<***>"


SHOWN_BY_BASH = {
    "printf %q": "printf '<%q>' \"$value\"",
    "@Q": "printf '<%s>' \"${value@Q}\"",
    "set -x": 'set -x; : "$value"',
    "declare -p": "declare -p value",
}


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("way", SHOWN_BY_BASH)
@pytest.mark.parametrize("value", VALUES)
def test_no_way_in_which_bash_shows_a_value_gets_by(way: str, value: str, locale: str) -> None:
    shown = subprocess.run(
        ["bash", "-c", SHOWN_BY_BASH[way]], env={"value": value, "LC_ALL": locale}, capture_output=True, check=True
    )
    said = shown.stdout + shown.stderr
    masker = Masker({"s": value})
    if "\x1b" not in value or way != "printf %q":
        assert b"***" in masker.mask_bytes(said), said
    for word in ("2nd", "space", "slash", "live"):
        assert word.encode() not in masker.mask_bytes(said)


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("after", ["", ".", "..", "@host.example"])
@pytest.mark.parametrize("width", [0, 76, 64, 5])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_base64_of_a_text_around_a_value_leaves_nothing_of_it(
    before: str, after: str, width: int, newline: str
) -> None:
    value = "Canary/7fQ2+x?" * 9
    encoded = base64.b64encode((before + value + after).encode()).decode()
    lines = [encoded[at : at + width] for at in range(0, len(encoded), width)] if width else [encoded]
    shown = Masker({"s": value}).mask_text(newline.join(lines))
    assert "***" in shown
    assert len(shown.replace("***", "").replace("\n", "").replace("\r", "")) <= len(encoded) - len(value) * 4 // 3 + 3


def test_base64_and_hex_are_recognised_with_line_breaks_and_other_forms_are_not() -> None:
    masker = Masker({"s": HOSTILE})
    for encoded in (
        base64.encodebytes(HOSTILE.encode()).decode(),
        HOSTILE.encode().hex(),
        "\n".join(HOSTILE.encode().hex())[3:],
    ):
        broken = encoded[:30] + "\n" + encoded[30:]
        assert "***" in masker.mask_text(broken), broken
    half = len(PLAIN) // 2
    assert Masker({"s": PLAIN}).mask_text(PLAIN[:half] + "\n" + PLAIN[half:]) == PLAIN[:half] + "\n" + PLAIN[half:]
    encoded = base64.b64encode(PLAIN.encode()).decode()
    assert Masker({"s": PLAIN}).mask_text(encoded[:9] + "\n\n\n" + encoded[9:]).count("\n") == 3


def test_a_break_after_the_first_byte_leaves_that_byte_and_no_more() -> None:
    encoded = base64.b64encode(PLAIN.encode()).decode()
    masker = Masker({"s": PLAIN})
    assert masker.mask_text(f"x{encoded[0]}\n{encoded[1:]}.") == f"x{encoded[0]}\n***."
    assert masker.mask_text(f"x{encoded[:2]}\n{encoded[2:]}.") == "x***."


@pytest.mark.parametrize(
    "text", ["abc", "", "true", "False", "NULL", "none", " yes ", "12345", "    ", "\n\n\n\n", "off"]
)
def test_short_and_common_values_are_not_masked(text: str) -> None:
    assert not is_maskable(text)
    assert variants_of(text) == frozenset()
    masker = Masker({"odd": text, "key": PLAIN})
    assert masker.not_masked == ("odd",)
    assert masker.mask_text(f"true 12345 {text} {PLAIN}") == f"true 12345 {text} ***"


@pytest.mark.parametrize("text", ["abcd", "123456", "truely", "äöüß", "nope", "12a45"])
def test_others_are(text: str) -> None:
    assert is_maskable(text)
    assert text.encode() in variants_of(text)


def test_encoded_forms_begin_with_eight_bytes() -> None:
    assert min(map(len, encodings_of(b"abcd"))) == 8
    assert not list(encodings_of(b"abc"))


@given(st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text and is_maskable(text)))
@example("\\'\\'")
@example("'\"'\"")
def test_no_writer_gets_a_value_by(value: str) -> None:
    masker = Masker({"s": value})
    for name, writer in WRITERS.items():
        written = writer(value)
        if len(written) >= 8:
            assert written not in masker.mask_text(f"<{written}>"), name


def test_the_names_of_those_in_a_text_are_told_and_nothing_is_counted() -> None:
    masker = Masker({"key": PLAIN, "odd": HOSTILE, "short": "abc"})
    assert masker.names_in(f"abc {base64.b64encode(PLAIN.encode()).decode()}") == {"key"}
    assert masker.names_in(json.dumps([HOSTILE, PLAIN])) == {"key", "odd"}
    assert masker.names_in(b"nothing of them: sk_live_") == frozenset()
    assert masker.counts == {}
