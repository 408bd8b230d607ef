"""The keys that sign messages, read from the file that the setting ``message_key_file`` names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from attune_tasks.errors import SettingsError
from attune_tasks.private_file import NotPrivateError, read_private
from attune_tasks.secret_values import SecretBytes

__all__ = ["read_message_keys"]

_LEAST_BYTES: Final = 32


def read_message_keys(path: Path) -> tuple[bytes, ...]:
    """Give the keys, the signing one first: each line is one; empty lines and those that start with ``#`` are none.

    Raises SettingsError where the file is not private (see :func:`attune_tasks.private_file.read_private`), holds no
    key, or one of fewer than 32 bytes; it quotes no key.
    """
    try:
        content = read_private(path)
    except NotPrivateError as error:
        msg = f"message_key_file: {error}"
    else:
        lines = [(number, line.strip()) for number, line in enumerate(content.splitlines(), 1)]
        keys = [(number, line) for number, line in lines if line and not line.startswith(b"#")]
        short = [str(number) for number, key in keys if len(key) < _LEAST_BYTES]
        if keys and not short:
            return tuple(SecretBytes(key) for _, key in keys)
        msg = f"message_key_file: {path} " + (
            f"has a key of fewer than {_LEAST_BYTES} bytes in line {', '.join(short)}" if short else "holds no key"
        )
        msg += ": make one by `openssl rand -hex 32`"
    raise SettingsError(msg)
