"""Passwords in settings, replaced by ``***`` wherever settings are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

__all__ = ["MASK", "mask_setting", "mask_url"]

MASK: Final = "***"

_SENSITIVE: Final = re.compile(r"passw|passphrase|token|secret_id|api_?key|private_?key|credential", re.IGNORECASE)
_HARMLESS_END: Final = re.compile(r"_(file|path|dir|url|ttl|seconds)$", re.IGNORECASE)
# Greedy up to the last @: a password that holds an unescaped / or @ must not show its second half.
_USER_PART: Final = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*://)?[^:@/]*):.*@", re.DOTALL)
_QUERY: Final = re.compile(r"([?&][^=&]*(?:passw|token|secret|key)[^=&]*=)[^&#]+", re.IGNORECASE)
_SEVERAL: Final = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def mask_url(text: str) -> str:
    """Replace the password of a URL, or of each of several joined by ``;``; other text comes back as it is."""
    return ";".join(_QUERY.sub(rf"\1{MASK}", _USER_PART.sub(rf"\1:{MASK}@", url)) for url in _SEVERAL.split(text))


def mask_setting(name: str, value: Any) -> Any:
    """Give `value` of the setting `name` in plain types for printing, without passwords."""
    if isinstance(value, Mapping):
        return {key: mask_setting(str(key), item) for key, item in value.items()}
    if value is not None and _SENSITIVE.search(name) and not _HARMLESS_END.search(name):
        return MASK
    if isinstance(value, (list, tuple)):
        return [mask_setting(name, item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return mask_url(value) if isinstance(value, str) else value
