"""Django's secret key, where nobody has given one: made once, in a private file."""

import os
import secrets
from pathlib import Path

__all__ = ["read_or_make"]


def read_or_make(path: Path) -> str:
    """Give the key in `path`; where there is none, make one. Worker and site may ask at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor: private from the start
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)  # whole, and only the first one's
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="utf-8")
