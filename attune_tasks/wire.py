r"""The secrets' line: what a child reads first from its standard input. See docs/wire-protocol.md.

One JSON object, name to string, in UTF-8. ``"``, ``\``, U+0000 to U+001F and U+007F inside strings are written as
``\u00XX``, so that bash can take the line apart at its quotes; spaces before the newline pad it to a multiple of
:data:`BLOCK` bytes, which also hides how long the secrets are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attune_tasks.errors import InvalidSecretError
from attune_tasks.secret_values import SecretBytes

__all__ = [
    "BLOCK",
    "NAME_PATTERN",
    "WIRE_VERSION",
    "check_secret_name",
    "check_secret_value",
    "encode_secrets",
    "encode_variables",
]

WIRE_VERSION: Final = "1"
BLOCK: Final = 512
NAME_PATTERN: Final = r"[A-Za-z_][A-Za-z0-9_.-]{0,127}"

_NAME: Final = re.compile(NAME_PATTERN)
_BYTES: Final = re.compile(rb'[\0-\x1f"\\\x7f]')
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in (*range(0x20), ord('"'), ord("\\"), 0x7F)}


def check_secret_name(name: str) -> None:
    """Raise InvalidSecretError where the wire can't carry a secret of this name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        msg = f"the secret name {name!r} is not of the form {NAME_PATTERN}"
        raise InvalidSecretError(msg)


def check_secret_value(name: str, value: object) -> None:
    """Raise InvalidSecretError, which does not quote `value`, where the wire can't carry it."""
    fault = _fault_of(value)
    if fault:
        del value  # the variables of this frame may be reported with the error
        msg = f"the secret {name!r} {fault}"
        raise InvalidSecretError(msg)


def _fault_of(value: object) -> str | None:
    if not isinstance(value, str):
        return f"is {type(value).__name__}, not text"
    if "\0" in value:
        return "holds a NUL character, which no shell variable or C string can carry"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "holds a lone surrogate, which is not text: store it base64-encoded"
    return None


def encode_secrets(secrets: Mapping[str, str]) -> SecretBytes:
    """Give the line for `secrets`: a multiple of 512 bytes, ended by a newline.

    Raises InvalidSecretError, which names the secret and never quotes it, for a name or a value that can't be carried.
    """
    for name in secrets:  # all of them first, and no variable that holds a value: see `check_secret_value`
        check_secret_name(name)
        check_secret_value(name, secrets[name])
    members = [f'"{name}":"{value.translate(_ESCAPES)}"' for name, value in secrets.items()]
    return SecretBytes(_padded(("{" + ",".join(members) + "}").encode()))


def encode_variables(variables: Mapping[str, bytes]) -> bytes:
    """Give a line of the same form for environment variables, whose names are shell names and whose bytes are any."""
    members = [b'"%s":"%s"' % (name.encode(), _BYTES.sub(_escaped, value)) for name, value in variables.items()]
    return _padded(b"{" + b",".join(members) + b"}")


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0])


def _padded(line: bytes) -> bytes:
    padded = -(-(len(line) + 1) // BLOCK) * BLOCK
    return line.ljust(padded - 1) + b"\n"
