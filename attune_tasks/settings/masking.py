"""Passwords in settings, replaced by ``***`` wherever settings are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

__all__ = ["MASK", "mask_setting", "mask_url"]

MASK: Final = "***"

_SENSITIVE: Final = re.compile(
    r"passw|passphrase|pwd|token|secret|api_?key|private_?key|access_?key|auth|credential", re.IGNORECASE
)
_HARMLESS_END: Final = re.compile(
    r"(^|_)(file|path|dir|folder|url|uri|addr|address|host|port|mount|namespace|region|ttl|timeout|seconds"
    r"|interpreter|bash|program)$",
    re.IGNORECASE,
)
# Greedy up to the last @: a password that holds an unescaped / or @ must not show its second half.
_USER_PART: Final = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*://)?[^:@/]*):.*@", re.DOTALL)
_QUERY: Final = re.compile(r"([?&][^=&]*(?:passw|token|secret|key)[^=&]*=)[^&#]+", re.IGNORECASE)
_SEVERAL: Final = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def mask_url(text: str) -> str:
    """Replace the password of a URL, or of each of several joined by ``;``; other text comes back as it is."""
    return ";".join(_QUERY.sub(rf"\1{MASK}", _USER_PART.sub(rf"\1:{MASK}@", url)) for url in _SEVERAL.split(text))


def mask_setting(name: str, value: Any, *, closed: bool = False) -> Any:
    """Give `value` of the setting `name` in plain types for printing, without passwords.

    With `closed`, and below ``options`` and ``runtimes``, which are plugins' own, every text is taken for a secret but
    for names that are known to be harmless.
    """
    if isinstance(value, Mapping):
        closed = closed or name in {"options", "runtimes"}
        return {key: mask_setting(str(key), item, closed=closed) for key, item in value.items()}
    telling = _SENSITIVE.search(name) or (closed and not isinstance(value, bool))
    if value is not None and telling and not _HARMLESS_END.search(name):
        return MASK
    if isinstance(value, (list, tuple)):
        return [mask_setting(name, item, closed=closed) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return mask_url(value) if isinstance(value, str) else value
