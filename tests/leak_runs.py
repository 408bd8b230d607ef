"""Runs of actions, honest and leaky ones, which surfaces of leak-check watch. No worker, and no scanner process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attune_tasks._celery.local_secrets import LiteralSecrets
from attune_tasks.context import ExecutionRequest
from attune_tasks.executor import ActionExecutor
from attune_tasks.ids import new_execution_id
from attune_tasks.known_packs import load_packs
from attune_tasks.leaks import Row, Surface, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_canary, make_short_canary
from attune_tasks.leaks.watching import watching
from attune_tasks.settings import LoadedSettings, Settings

__all__ = ["CONTROLS", "LeakRun", "write_action"]

CONTROLS: Final = Path(__file__).parents[1] / "attune_tasks" / "_bundled" / "leak_packs"


class LeakRun:
    """One execution with canaries."""

    def __init__(self, runtime: str = "python") -> None:
        """Make the canaries; the seeker is for the surfaces."""
        self.seeker = ValueSeeker()
        self.values = {"canary": make_canary(), "canary_short": make_short_canary()}
        self.watched = Watched(new_execution_id(), "", runtime)
        self.seeker.add(self.watched.execution_id, self.values)

    def rows(
        self,
        ref: str,
        surfaces: Sequence[Surface],
        *,
        packs: Path = CONTROLS,
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, Row]:
        """Run an action while they look; give the rows by surface. No row may hold a value."""
        settings = Settings(packs=(packs,))
        registry = load_packs(LoadedSettings(settings, {"packs": "argument"}))
        wanted = {name: self.values[name] for name in registry.get(ref).secrets}
        executor = ActionExecutor(registry, LiteralSecrets(wanted), settings)
        try:
            with watching(surfaces, self.watched):
                result = executor.execute(ExecutionRequest(self.watched.execution_id, ref, parameters or {}))
        finally:
            executor.close()
        assert result.status == "succeeded", result.error
        return self.checked(row for surface in surfaces for row in surface.end([self.watched]))

    def checked(self, rows: Iterable[Row]) -> dict[str, Row]:
        """Give rows by surface, and see that none holds a value."""
        found = {row.surface: row for row in rows}
        assert not self.seeker.find(repr(found).encode())
        return found


def write_action(packs: Path, name: str, script: str, *, runner: str = "shell", more: str = "") -> str:
    """Write an action of the pack ``own`` which declares both canaries; give its ref."""
    actions = packs / "own" / "actions"
    actions.mkdir(parents=True, exist_ok=True)
    (packs / "own" / "pack.yaml").write_text("ref: own\n", encoding="utf-8")
    (actions / f"{name}.yaml").write_text(
        f"ref: own.{name}\nrunner_type: {runner}\nentry_point: {name}\n"
        f"secrets: {{canary: 'a#b', canary_short: 'a#c'}}\n{more}",
        encoding="utf-8",
    )
    (actions / name).write_text(script, encoding="utf-8")
    return f"own.{name}"
