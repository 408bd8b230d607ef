"""URLs that stand in files of their own, as secrets of Docker, Kubernetes and systemd are handed over."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attune_tasks.private_file import NotPrivateError, read_closed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["URL_FILES", "urls_from_files"]

URL_FILES: Final = {name + "_file": name for name in ("broker_url", "result_backend", "state_url")}
"""The settings that name a file, and the one which its text is."""


def urls_from_files(values: Mapping[str, Any], origin: str, problems: list[str]) -> list[tuple[dict[str, str], str]]:
    """Give what the files say that one place of settings names: a setting for each, with the file's path.

    Paths are absolute by now. `problems` gets one line for each file that can't be used; none quotes what is in it.
    """
    found = []
    for name, setting in URL_FILES.items():
        path = values.get(name)
        if not isinstance(path, (str, os.PathLike)):
            continue  # not set, or refused by the model, later
        if values.get(setting) is not None:
            problems.append(f"{origin}: {name}: {setting} is set there, too: name one of the two")
            continue
        try:
            found.append(({setting: _url_in(Path(path))}, str(path)))
        except NotPrivateError as error:
            problems.append(f"{origin}: {name}: {error}")
    return found


def _url_in(path: Path) -> str:
    words = read_closed(path).split()
    if len(words) != 1 or not words[0].isascii() or not words[0].decode("ascii").isprintable():
        msg = f"{path} does not hold one URL of printable ASCII"
        raise NotPrivateError(msg)
    return words[0].decode("ascii")
