"""The embedded default: where it lives, and the Celery settings that select it."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any, Final

from attune_tasks.errors import SettingsError

__all__ = [
    "EMBEDDED_DRIVER",
    "default_folder",
    "embedded_broker_config",
    "embedded_config",
    "embedded_results_config",
    "private_folder",
]

EMBEDDED_DRIVER: Final = "attune-tasks-embedded"
"""What kombu calls the kind of this broker."""


def default_folder() -> Path:
    """Give the folder of the embedded default, made if need be.

    ``$XDG_STATE_HOME/attune-tasks/embedded``, else ``~/.local/state/attune-tasks/embedded`` (XDG Base Directory
    Specification); with no usable home ``/tmp/attune-tasks-<uid>``. Raises SettingsError where it is not private.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    # Without HOME and an entry in the user database, as in a container, ~ stays: then there is no home.
    home = Path(state if state.startswith("/") else os.path.expanduser("~/.local/state"))  # noqa: PTH111 - Path's raises
    if home.is_absolute():
        try:
            (home / "attune-tasks" / "embedded").mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            pass  # a service user's home is often missing or read-only
        else:
            return private_folder(home / "attune-tasks" / "embedded")
    return private_folder(Path(tempfile.gettempdir()) / f"attune-tasks-{os.geteuid()}")


def private_folder(path: Path) -> Path:
    """Make `path` if need be, and give it back.

    Raises SettingsError unless it is a real folder of this user's which nobody else can open: who can write to a
    broker's folder can have tasks run, and who can read it sees their parameters and results.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        msg = f"the embedded broker's folder {path} can't be made: {error.strerror}"
        raise SettingsError(msg) from None
    if not stat.S_ISDIR(found.st_mode):
        msg = f"the embedded broker's folder {path} is not a real folder: remove it"
        raise SettingsError(msg)
    if found.st_uid != os.geteuid():
        msg = f"the embedded broker's folder {path} belongs to another user: set XDG_STATE_HOME to a folder of your own"
        raise SettingsError(msg)
    if found.st_mode & 0o077:
        msg = f"the embedded broker's folder {path} is open to other users: run `chmod 700 {path}`"
        raise SettingsError(msg)
    return path


def embedded_broker_config(folder: Path) -> dict[str, Any]:
    """Give the Celery settings for the broker in `folder`, which is made private or refused (SettingsError)."""
    return {
        "broker_url": "localhost",  # a name to show: the transport needs none
        "broker_transport": "attune_tasks._celery.embedded_broker:Transport",
        "broker_transport_options": {"folder": str(private_folder(private_folder(folder.absolute()) / "broker"))},
        # Else a worker whose slots are all taken waits for a free one in the thread that hears control commands:
        # nothing could be cancelled just when it matters.
        "worker_pool_putlocks": False,
    }


def embedded_results_config(folder: Path) -> dict[str, Any]:
    """Give the Celery settings for the result backend in `folder`."""
    results = private_folder(private_folder(folder.absolute()) / "results")
    return {"result_backend": f"attune_tasks._celery.embedded_results:EmbeddedBackend+file://{results}"}


def embedded_config(folder: Path) -> dict[str, Any]:
    """Give the Celery settings for both, as ``app.conf.update(embedded_config(folder))``."""
    return embedded_broker_config(folder) | embedded_results_config(folder)
