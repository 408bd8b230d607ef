"""What ``attune-tasks doctor`` warns of: credentials within the reach of actions."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attune_tasks.errors import PackError

if TYPE_CHECKING:
    from attune_tasks.settings import LoadedSettings

__all__ = ["exposure_warnings"]

_FILES: Final = frozenset({"path", "token_file", "secret_id_file", "client_key"})


def exposure_warnings(loaded: LoadedSettings, environ: Mapping[str, str]) -> Iterator[str]:
    """Say which variables of `environ` look like credentials, and which files with credentials actions can read."""
    from attune_tasks.settings.credentials import credential_variables

    if variables := credential_variables(environ):
        yield (
            f"this environment seems to hold credentials ({', '.join(variables)}): a worker that is started with it has"
            " them, too, and all that runs as its user may read them"
        )
    yield from _of_files(loaded)


def _of_files(loaded: LoadedSettings) -> Iterator[str]:
    files = [path for path in _credential_files(loaded) if path.exists()]
    for run_as, action in _users(loaded).items():
        yield from _of_worker(files) if run_as is None else _of_user(files, run_as, action)


def _users(loaded: LoadedSettings) -> dict[str | None, str | None]:
    """Give all users that an enabled action runs as, None for the worker's own; the setting's where there is none.

    With each comes an action whose metadata names it; None where it is the setting that says so.
    """
    from attune_tasks.known_packs import load_packs

    settings = loaded.settings
    try:
        enabled = [action for action in load_packs(loaded).actions if action.enabled]
    except PackError:  # the line on packs says so
        enabled = []
    users: dict[str | None, str | None] = {}
    if not enabled or not all(action.run_as for action in enabled):
        users[settings.run_as] = None
    for action in enabled:
        # Where the setting names a user, metadata names another only if the operator lists it: else nothing is started.
        if action.run_as and (settings.run_as is None or action.run_as in {settings.run_as, *settings.run_as_allow}):
            users.setdefault(action.run_as, action.ref)
    return users


def _of_worker(files: list[Path]) -> Iterator[str]:
    mine = [path for path in files if os.access(path, os.R_OK)]
    if mine:
        yield f"actions run as the worker's user and can read {_listed(mine)}: set run_as"


def _of_user(files: list[Path], run_as: str, action: str | None) -> Iterator[str]:
    import pwd

    where = f"run_as of {action}" if action else "run_as"
    try:
        user = pwd.getpwnam(run_as)
    except KeyError:
        yield f"{where}: there is no user {run_as!r} on this machine: its actions can't be started here"
        return
    readable = [path for path in files if _can_read(path, user.pw_uid, user.pw_gid)]
    if readable:
        advice = "choose a user who is not root" if user.pw_uid == 0 else "run `chmod 600`, and let the worker own them"
        yield f"actions run as {run_as} ({where}), who can read {_listed(readable)}: {advice}"


def _credential_files(loaded: LoadedSettings) -> list[Path]:
    """Give the files that hold a provider's credentials or secrets, and the settings' file where it holds any."""
    found: dict[Path, None] = dict.fromkeys(_paths_in(loaded.settings.secrets.model_dump()))
    if loaded.settings.message_key_file is not None:
        found[loaded.settings.message_key_file] = None
    shown = dict(_leaves(loaded.masked()))
    for name, value in _leaves(loaded.settings.model_dump(mode="json")):
        origin = loaded.origins.get(name, "")
        if origin.startswith("/") and shown.get(name) != value:
            found[Path(origin)] = None
    return list(found)


def _paths_in(group: Mapping[str, Any]) -> Iterator[Path]:
    for name, value in group.items():
        if isinstance(value, Mapping):
            yield from _paths_in(value)
        elif name in _FILES and isinstance(value, Path):
            yield value


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _can_read(path: Path, uid: int, gid: int) -> bool:
    """Say whether the modes let a user with no other group read a file. Access lists are not looked at."""
    if uid == 0:
        return True
    try:
        path = path.resolve()
        return all(_has(folder, uid, gid, stat.S_IXOTH) for folder in path.parents) and _has(
            path, uid, gid, stat.S_IROTH
        )
    except OSError:
        return False


def _has(path: Path, uid: int, gid: int, bit: int) -> bool:
    found = path.stat()
    if found.st_uid == uid:
        return bool(found.st_mode & bit << 6)
    return bool(found.st_mode & (bit << 3 if found.st_gid == gid else bit))


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))
