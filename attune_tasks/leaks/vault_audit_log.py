"""The surface of Vault's audit log, a file on Vault's machine: values stand there where a device logs them raw."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import OVERLAP, Seeker, Watched

__all__ = ["VaultAuditLog"]

_PIECE: Final = 4 << 20
_MOST: Final = 256 << 20
_NOT_TOLD: Final = "where it is was not said: say so by --vault-audit-log, on the machine where Vault writes it"


class VaultAuditLog:
    """Searches what is added to the log while the executions run."""

    name = "Vault's audit log"

    def __init__(self, seeker: Seeker, path: Path | None, *, why_not: str = _NOT_TOLD) -> None:
        """Look at the file `path`; None: it is not looked at, and `why_not` says why."""
        self._path = path
        self._why_not = why_not
        self._findings = Findings(self.name, seeker)
        self._file = -1
        self._size = 0

    def begin(self) -> None:
        """Note how long it is. It is kept open: what is added before it is rotated is found in the old file."""
        if self._path is None:
            self._findings.not_looked_at(self._why_not)
            return
        try:
            if not self._path.is_file():
                # A pipe or a socket would give to us what its reader waits for.
                why = "not a regular file" if self._path.exists() else "no such file"
                self._findings.not_looked_at(f"{self._path}: {why}: it is the `file_path` of Vault's audit device")
                return
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            self._size = os.fstat(self._file).st_size
        except OSError as error:
            self._findings.not_looked_at(f"{self._path}: {error.strerror}: let the worker's user read it")

    def look(self, executions: Sequence[Watched]) -> None:
        """Wait for the end: nothing is removed from a log."""

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Search what was added."""
        if self._file >= 0 and self._path is not None:
            try:
                self._search_added(self._path)
            except OSError as error:
                self._findings.partly(f"{self._path}: {error.strerror}: let the worker's user read it")
            finally:
                os.close(self._file)
                self._file = -1
        return self._findings.rows(executions)

    def _search_added(self, path: Path) -> None:
        old = os.fstat(self._file)
        if old.st_size < self._size:
            self._findings.partly(f"{path} was cut while it was watched: what stood there before that was not seen")
            self._size = 0
        added = self._search(self._file, self._size, f"{path}, line")
        try:
            new = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            self._findings.partly(f"{path} was moved away while it was watched")
            return
        try:
            status = os.fstat(new)
            if (status.st_dev, status.st_ino) != (old.st_dev, old.st_ino):
                added += self._search(new, 0, f"{path}, line")
        finally:
            os.close(new)
        if not added:
            self._findings.not_looked_at(
                f"nothing was added to {path}: it is another Vault's, or the values did not come from Vault"
            )

    def _search(self, file: int, offset: int, where: str) -> int:
        """Search a file from `offset` on; give the number of bytes."""
        begin, rest = offset, b""
        while data := os.pread(file, _PIECE, offset):
            offset += len(data)
            held = rest + data
            if self._findings.seeker.find(held):
                lines = held.split(b"\n")
                hits = [line for line in lines if self._findings.search(line, f"{where} of the {_kind(line)}")]
                if not hits:
                    self._findings.search(held, where.removesuffix(", line"))
            rest = held[-OVERLAP:]
            if offset - begin > _MOST:
                self._findings.partly(f"only {_MOST >> 20} MiB of what was added were looked at")
                break
        return offset - begin


def _kind(line: bytes) -> str:
    return "response" if b'"type":"response"' in line else "request"
