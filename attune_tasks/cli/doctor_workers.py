"""The line of ``attune-tasks doctor`` on workers and their launchers, and what is to be warned of in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["WorkersLook"]


class WorkersLook:
    """One question to all workers."""

    def __init__(self, app: Any) -> None:
        """Ask nothing yet."""
        self._app = app
        self._credentials: dict[str, tuple[str, ...]] = {}

    def line(self) -> str:
        """Ask, and say how many workers and launchers there are."""
        from attune_tasks._celery.workers_seen import ask_for_launchers

        workers = ask_for_launchers(self._app)
        self._credentials = {name: worker.credentials for name, worker in workers.items() if worker.credentials}
        if not workers:
            return "no worker answers; none is needed for this check"
        launchers = [launcher for worker in workers.values() for launcher in worker.launchers]
        busy = sum(launcher.busy for launcher in launchers)
        memory = sum(launcher.memory_kib for launcher in launchers) / 1024
        return (
            f"{len(launchers)} in {len(workers)} worker{'s' if len(workers) > 1 else ''}, {busy} busy,"
            f" {memory:.1f} MiB; see `attune-tasks ps`"
        )

    def warnings(self) -> Iterator[str]:
        """Say which workers have credentials in their environment, by the names of the variables."""
        for name, variables in sorted(self._credentials.items()):
            yield (
                f"the environment of the worker {name} seems to hold credentials ({', '.join(variables)}), which all"
                " that runs as its user may read: move them to a file of mode 0600, or to the secret provider"
            )
