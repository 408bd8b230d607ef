"""What a pack's launcher may have loaded of the pack, as one short text: when it changes, the launcher is another's."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

__all__ = ["content_of"]


def content_of(pack: Path) -> str:
    """Give a hash of the names, sizes and times of ``pack.yaml`` and of all files below ``lib/``."""
    digest = hashlib.sha256()
    paths = [str(pack / "pack.yaml")]
    for parent, folders, names in os.walk(pack / "lib"):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        paths += [os.path.join(parent, name) for name in sorted(names)]  # noqa: PTH118 - for each execution
    for path in paths:
        try:
            found = os.stat(path)  # noqa: PTH116 - the same
        except OSError:
            continue
        digest.update(
            f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}\0".encode(errors="surrogateescape")
        )
    return digest.hexdigest()
