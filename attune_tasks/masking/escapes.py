r"""How languages and formats write a text between quotes: JSON, URLs, XML and HTML, shells, Python.

What is given is what stands between the quotes. A way to write that would change nothing of a text is not tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote_from_bytes

__all__ = ["escapes_by_family", "escapes_of"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""Nobody escapes these."""
_UNUSUAL: Final = re.compile(r"[^ -~]")
_IN_JSON: Final = re.compile(r"[^ !#-.0-;=?-\[\]-~]")
"""``"``, backslash, what is not ASCII, and what some writers escape: ``/``, ``<``, ``>``, ``&``."""
_UNICODE: Final = re.compile(r"\\u(?=[0-9]{0,3}[a-f])[0-9a-f]{4}")
_PERCENT: Final = re.compile(r"%(?:[A-F][0-9A-F]|[0-9][A-F])")
_URL_SAFE: Final = ("", "/", "!'()*", "!'()*/;:@&=+$,?#")
"""Left as they are by: the strict, by Python, by encodeURIComponent, by encodeURI."""
_HTML_SAFE: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
"""As JSON that may stand in a page has them (Go, Rails, Django)."""
_WIRE: Final = {code: f"\\u{code:04x}" for code in (*range(0x20), ord('"'), ord("\\"), 0x7F)}
"""As the secrets' line has them: `cat` in an action shows it."""
_IN_XML: Final = re.compile(r"[<>&\"']")
_XML_QUOTES: Final = (
    ('"', "'"),
    ("&quot;", "'"),
    ("&quot;", "&#x27;"),
    ("&quot;", "&#39;"),
    ("&#34;", "&#39;"),
    ("&quot;", "&apos;"),
)
_IN_DOUBLE: Final = re.compile(r'[\\"$`]')
_BACKSLASHED: Final = re.compile(r"[ \t\n!\"$&'()*,;<>?\[\\\]^`{|}~#]")
"""What bash's `printf %q` puts a backslash before."""
_IN_ANSI_C: Final = re.compile(r"[^ -&(-\[\]-~]")
_ANSI_C: Final = {code: f"\\{code:03o}" for code in (*range(1, 0x20), 0x7F)} | {
    ord(char): f"\\{escape}" for char, escape in zip("\a\b\t\n\v\f\r\x1b\\'", "abtnvfrE\\'", strict=True)
}
_IN_PYTHON: Final = _IN_ANSI_C


def escapes_of(text: str) -> Iterator[str]:
    """Give `text` as it is, and in each way to write it; one may come twice."""
    for _, form in escapes_by_family(text):
        yield form


def escapes_by_family(text: str) -> Iterator[tuple[str, str]]:
    """Give what :func:`escapes_of` gives, each with the name of those who write so; ``plain`` for `text` as it is."""
    yield "plain", text
    if _PLAIN.fullmatch(text):
        return
    families = [("URL", _url)]
    if _IN_JSON.search(text):
        families.append(("JSON", _json))
    if _IN_XML.search(text):
        families.append(("XML", _xml))
    families.append(("shell", _shell))
    if _IN_PYTHON.search(text):
        families.append(("Python", _python))
    for family, forms in families:
        for form in forms(text):
            yield family, form


def _json(text: str) -> Iterator[str]:
    forms = {json.dumps(text)[1:-1], text.translate(_WIRE)}
    if not text.isascii():
        forms.add(json.dumps(text, ensure_ascii=False)[1:-1])
    forms |= {form.translate(_HTML_SAFE) for form in forms}
    if "/" in text:
        forms |= {form.replace("/", "\\/") for form in forms}
    yield from forms
    for form in forms:
        if "\\u" in form:
            yield _UNICODE.sub(_upper, form)


def _xml(text: str) -> Iterator[str]:
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for double, single in _XML_QUOTES:
        yield plain.replace('"', double).replace("'", single)


def _url(text: str) -> Iterator[str]:
    raw = text.encode(errors="surrogateescape")
    forms = {quote_from_bytes(raw, safe) for safe in _URL_SAFE}
    if "~" in text:
        forms |= {form.replace("~", "%7E") for form in forms}
    if " " in text:
        forms |= {form.replace("%20", "+") for form in forms}
    yield from forms
    for form in forms:
        yield _PERCENT.sub(_lower, form)


def _shell(text: str) -> Iterator[str]:
    if "'" in text:
        yield text.replace("'", "'\\''")
        yield text.replace("'", "'\"'\"'")
    if _IN_DOUBLE.search(text):
        yield _IN_DOUBLE.sub(r"\\\g<0>", text)
    yield _BACKSLASHED.sub(r"\\\g<0>", text)
    if not _IN_ANSI_C.search(text):
        return
    ansi_c = text.translate(_ANSI_C)
    yield ansi_c  # also what `set -x` shows of a text with control characters
    if not ansi_c.isascii():  # in the C locale
        yield _octal(ansi_c)


def _python(text: str) -> Iterator[str]:
    # A double quote in front makes repr() choose single quotes, and escape those within.
    forms = {repr('"' + text)[2:-1]}
    if not text.isascii():
        forms |= {ascii('"' + text)[2:-1], repr(b'"' + text.encode(errors="surrogateescape"))[3:-1]}
    for form in forms:
        yield form
        yield form.replace("\\'", "'")


def _octal(text: str) -> str:
    return "".join(chr(byte) if byte < 0x80 else f"\\{byte:03o}" for byte in text.encode(errors="surrogateescape"))  # noqa: PLR2004 - where ASCII ends


def _upper(found: re.Match[str]) -> str:
    return "\\u" + found[0][2:].upper()


def _lower(found: re.Match[str]) -> str:
    return found[0].lower()
