"""The surface of files without a name: those removed while a process holds them open, and memfds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.execution_trees import NONE_SEEN
from attune_tasks.leaks.file_search import FileSearch, Spent
from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.folder_surface import Pace, Shared
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import Seeker, Watched

__all__ = ["DeletedFiles"]

_MARK: Final = " (deleted)"
_BLIND: Final = f"what its processes have open can't be read: {AS_ROOT}"


class DeletedFiles:
    """Reads them through ``/proc/<pid>/fd``: only there they are to be had."""

    name = "deleted files"

    def __init__(self, seeker: Seeker, shared: Shared) -> None:
        """Look at what the processes of the executions have open."""
        self._shared = shared
        self._pace = Pace()
        self.findings = Findings(self.name, seeker)
        self._files = FileSearch(self.findings, shared.trees, shared.sources, shared.mounts.in_memory)
        self._seen: set[str] = set()
        self._blind: set[str] = set()

    def begin(self) -> None:
        """Nothing need be noted."""

    def look(self, executions: Sequence[Watched]) -> None:
        """Look at those of the processes that run now."""
        trees = self._shared.trees
        trees.look(executions)
        spent = Spent(self._pace.look_bytes_per_file, self._pace.look_bytes)
        for process in trees.processes:
            (self._blind if process.files_hidden else self._seen).add(process.runtime)
            for file in process.files:
                if file.target.endswith(_MARK):
                    self.findings.search(file.target.encode(errors="surrogateescape"), file.path, process.command)
                    self._files.search_content(file.path, file.status, spent, name=file.target.removesuffix(_MARK))

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Give the rows: there is nothing left to look at."""
        for runtime in {each.runtime for each in executions}:
            if runtime in self._blind:
                tell = self.findings.partly if runtime in self._seen else self.findings.not_looked_at
                tell(_BLIND, runtime)
            elif runtime not in self._seen:
                self.findings.not_looked_at(NONE_SEEN, runtime)
        self._files.tell()
        return self.findings.rows(executions)
