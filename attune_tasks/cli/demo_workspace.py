"""The demo's folder: private, with made-up secrets, an embedded broker and a worker's log; removed at the end."""

from __future__ import annotations

import os
import secrets as randomness
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attune_tasks.cli.shipped import bundled_packs

if TYPE_CHECKING:
    from attune_tasks.packs import Action

__all__ = ["Workspace"]

# All that the worker takes from the user's environment: none of their settings, nor those of Celery or Django.
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "COVERAGE_")


class Workspace:
    """A private temporary folder, and the environment of a worker that lives in it."""

    def __init__(self) -> None:
        """Make the folder."""
        self.folder = Path(tempfile.mkdtemp(prefix="attune-tasks-demo-"))
        self.log = self.folder / "worker.log"
        self.secrets: Mapping[str, str] = {}
        """The made-up values, by reference."""
        self._secrets_file = self.folder / "secrets.toml"
        self._settings_file = self.folder / "attune-tasks.toml"
        self._temporary = self.folder / "tmp"

    def fill(self, actions: Sequence[Action]) -> None:
        """Make up a value for each secret that `actions` declare, and write secrets and settings."""
        self._temporary.mkdir()
        references = sorted({secret.ref for action in actions for secret in action.secrets.values()})
        self.secrets = {reference: randomness.token_urlsafe(24) for reference in references}
        lines = []
        for reference, value in self.secrets.items():
            path, _, field = reference.partition("#")
            lines.append(f'["{path}"]\n{field} = "{value}"\n')
        descriptor = os.open(self._secrets_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor: private from the start
            file.write("\n".join(lines))
        self._settings_file.write_text(
            f'packs = ["{bundled_packs()}"]\n[secrets]\nprovider = "file"\n[secrets.file]\npath = "secrets.toml"\n',
            encoding="utf-8",
        )

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Give the environment for the worker and its client: a few variables of `environ`, and the folder's."""
        kept = {name: value for name, value in environ.items() if name.startswith(_KEPT)}
        if "PYTHONPATH" in environ:  # the worker starts in another folder
            kept["PYTHONPATH"] = os.pathsep.join(
                str(Path(entry).absolute()) for entry in environ["PYTHONPATH"].split(os.pathsep) if entry
            )
        return kept | {
            "ATTUNE_TASKS_CONFIG": str(self._settings_file),
            "XDG_STATE_HOME": str(self.folder / "state"),  # where the embedded broker and backend are
            "TMPDIR": str(self._temporary),
        }

    def written_files(self) -> Iterator[Path]:
        """Give all files that the worker and its client wrote: messages, results, the log."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path not in (self._secrets_file, self._settings_file):
                yield path

    def log_tail(self) -> str:
        """Give the last lines of the worker's log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-20:])

    def remove(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
