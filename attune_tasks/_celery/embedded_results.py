"""The embedded result backend: Celery's results as files, each written whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from typing import Any, Final
from urllib.parse import quote_from_bytes

from celery.backends.filesystem import FilesystemBackend

__all__ = ["EmbeddedBackend"]

_LONGEST_NAME: Final = 180
"""Bytes; file systems take 255, and an unfinished file's name is longer."""


class EmbeddedBackend(FilesystemBackend):
    """Celery's ``file://`` backend; but no reader sees half a result, and no task id leads out of the folder."""

    path: bytes

    def _filename(self, key: bytes) -> bytes:
        # A task id is any text, `../../etc/passwd` too.
        name = quote_from_bytes(key, safe="")
        if len(name) > _LONGEST_NAME:
            name = f"{name[:80]}#{hashlib.sha256(key).hexdigest()}"
        return self.path + b"/" + name.encode()

    def set(self, key: Any, value: Any) -> None:
        """Write beside, then rename: the reader has the old value or the new one."""
        path = self._filename(key)
        unfinished = path + b".unfinished-" + uuid.uuid4().hex.encode()
        try:
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor, for its mode
                file.write(value.encode() if isinstance(value, str) else value)
            os.replace(unfinished, path)  # noqa: PTH105 - Celery's paths are bytes
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)  # noqa: PTH108 - the same
            raise

    def delete(self, key: Any) -> None:
        """Forget a result; one that is not there is forgotten already."""
        with contextlib.suppress(FileNotFoundError):
            super().delete(key)

    def cleanup(self) -> None:
        """Delete expired results; several workers may do so at once."""
        with contextlib.suppress(FileNotFoundError):
            super().cleanup()
