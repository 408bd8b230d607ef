"""Running the controls, and actions that keep their secrets, with the surfaces of processes looking at them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attune_tasks import proc
from attune_tasks._celery.launchers_seen import launchers_below
from attune_tasks._celery.local_secrets import LiteralSecrets
from attune_tasks.context import ExecutionRequest
from attune_tasks.executor import ActionExecutor
from attune_tasks.ids import new_execution_id
from attune_tasks.known_packs import load_packs
from attune_tasks.leaks import Row, Surface, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_canary, make_short_canary
from attune_tasks.leaks.processes import process_surfaces
from attune_tasks.packs import PackRegistry
from attune_tasks.settings import load_settings

__all__ = ["CONTROLS", "HONEST", "looked_at", "rows_of", "write_honest"]

CONTROLS: Final = Path(__file__).parents[2] / "attune_tasks" / "_bundled" / "leak_packs"
_PAUSE: Final = 0.1
_SECRETS: Final = """secrets:
  canary: {ref: "canary://leak-check#canary"}
  canary_short: {ref: "canary://leak-check#canary_short"}
"""

# Each has both secrets in memory, starts programs, leaves a process in a session of its own, and one of them crashes.
HONEST: Final = {
    "python": """
import subprocess
def run(params):
    kept = get_secret("canary"), get_secret("canary_short")
    subprocess.Popen(["setsid", "sleep", "1"])
    subprocess.run(["bash", "-c", "kill -SEGV $$"], stderr=subprocess.DEVNULL)
    subprocess.run(["sleep", "1"], check=True)
    return len(kept)
""",
    "shell": """
get_secret -v value canary
get_secret -v short canary_short
setsid sleep 1 &
bash -c 'kill -SEGV $$' || true
sleep 1
""",
    "executable": """#!/bin/bash
read -r line
setsid sleep 1 &
bash -c 'kill -SEGV $$'
sleep 1
""",
}


def write_honest(folder: Path) -> Path:
    """Write a pack of actions that keep their secrets, one for each runtime and one with `isolation: exec`."""
    actions = folder / "honest" / "actions"
    actions.mkdir(parents=True)
    (folder / "honest" / "pack.yaml").write_text("ref: honest\n")
    for name in (*HONEST, "python-exec"):
        runtime = name.partition("-")[0]
        (actions / f"{name}.script").write_text(HONEST[runtime])
        (actions / f"{name}.script").chmod(0o755)
        more = "isolation: exec\n" if name == "python-exec" else ""
        text = f"ref: honest.{name}\nrunner_type: {runtime}\nentry_point: {name}.script\n{more}{_SECRETS}"
        (actions / f"{name}.yaml").write_text(text)
    return folder


def looked_at(  # noqa: PLR0913 - a test names what it needs
    ref: str,
    packs: Path = CONTROLS,
    parameters: dict[str, Any] | None = None,
    *,
    main_pid: int | None = None,
    surfaces: Sequence[str] = (),
    settings: dict[str, Any] | None = None,
) -> tuple[dict[str, Row], ValueSeeker, str]:
    """Run an action and look at it; give the rows by surface, the seeker, and how it ended.

    This process is the pool process; it is the main process, too, unless `main_pid` is another one.
    """
    seeker = ValueSeeker()
    values = {"canary": make_canary(), "canary_short": make_short_canary()}
    loaded = load_settings(overrides={"packs": [str(packs)], **(settings or {})}, environ={}, directory=packs)
    registry: PackRegistry = load_packs(loaded)
    declared = registry.get(ref).secrets
    executor = ActionExecutor(registry, LiteralSecrets({name: values[name] for name in declared}), loaded.settings)
    execution_id = new_execution_id()
    seeker.add(execution_id, values)
    watched = Watched(execution_id, "t", "shown", os.getpid() if main_pid is None else main_pid, os.getpid())
    all_surfaces = [surface for surface in process_surfaces(seeker) if not surfaces or surface.name in surfaces]
    before = {seen.pid for seen in launchers_below(os.getpid())}
    status = []

    def work() -> None:
        result = executor.execute(ExecutionRequest(execution_id, ref, parameters or {}))
        status.append(f"{result.status} {result.error} {result.stderr}")

    for surface in all_surfaces:
        surface.begin()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        while thread.is_alive():
            if not watched.launcher_pid:
                new = [seen.pid for seen in launchers_below(os.getpid()) if seen.pid not in before and seen.busy]
                watched.launcher_pid = new[0] if new else 0
            _look(all_surfaces, watched)
            thread.join(_PAUSE)
        watched.is_over = True
        return rows_of(all_surfaces, [watched]), seeker, status[0]
    finally:
        thread.join()
        executor.close()


def _look(surfaces: Sequence[Surface], watched: Watched) -> None:
    if not watched.launcher_pid or proc.children(watched.launcher_pid) or watched.main_pid:
        for surface in surfaces:
            surface.look([watched])


def rows_of(surfaces: Sequence[Surface], executions: Sequence[Watched]) -> dict[str, Row]:
    """End all surfaces; give the row of each, which has to be one for the sole runtime."""
    rows = {}
    for surface in surfaces:
        (row,) = surface.end(executions)
        assert (row.surface, row.runtime) == (surface.name, executions[0].runtime)
        rows[surface.name] = row
    return rows
