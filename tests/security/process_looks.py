"""Running the controls, and actions that keep their secrets, with the surfaces of processes looking at them."""

from __future__ import annotations

import ctypes
import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from attune_tasks._celery.launchers_seen import launchers_below
from attune_tasks._celery.local_secrets import LiteralSecrets
from attune_tasks.context import ExecutionRequest
from attune_tasks.executor import ActionExecutor
from attune_tasks.ids import new_execution_id
from attune_tasks.known_packs import load_packs
from attune_tasks.leaks import Hit, Row, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_canary, make_short_canary
from attune_tasks.leaks.processes import process_surfaces
from attune_tasks.settings import load_settings

__all__ = ["CONTROLS", "HONEST", "TRIES", "Look", "as_worker", "looked_at", "write_honest"]

CONTROLS: Final = Path(__file__).parents[2] / "attune_tasks" / "_bundled" / "leak_packs"
TRIES: Final = (2, 10, 40)
"""Seconds for which an action stays alive, until all of it was seen: a busy machine looks less often than it should."""
_PAUSE: Final = 0.1
_METADATA: Final = """parameters:
  seconds: {type: integer, default: 2}
secrets:
  canary: {ref: "canary://leak-check#canary"}
  canary_short: {ref: "canary://leak-check#canary_short"}
"""

# Each has both secrets in memory, starts programs, leaves a process in a session of its own, and one of them crashes.
HONEST: Final = {
    "python": """
import subprocess
def run(params):
    kept = get_secret("canary"), get_secret("canary_short")
    subprocess.Popen(["setsid", "sleep", str(params["seconds"])])
    subprocess.run(["bash", "-c", "kill -SEGV $$"], stderr=subprocess.DEVNULL)
    subprocess.run(["sleep", str(params["seconds"])], check=True)
    return len(kept)
""",
    "shell": """
get_secret -v value canary
get_secret -v short canary_short
setsid sleep "$ATTUNE_ACTION_SECONDS" &
bash -c 'kill -SEGV $$' || true
sleep "$ATTUNE_ACTION_SECONDS"
""",
    "executable": """#!/bin/bash
read -r line
setsid sleep "$ATTUNE_ACTION_SECONDS" &
bash -c 'kill -SEGV $$'
sleep "$ATTUNE_ACTION_SECONDS"
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
        text = f"ref: honest.{name}\nrunner_type: {runtime}\nentry_point: {name}.script\n{more}{_METADATA}"
        (actions / f"{name}.yaml").write_text(text)
    return folder


@dataclass(frozen=True)
class Look:
    """What came of a look."""

    rows: dict[str, Row]
    """By the surface."""
    status: str
    error: str
    values: dict[str, str]

    def has_seen_all(self) -> bool:
        """Say whether the action was there for long enough."""
        return not any("too soon" in row.why or "before all" in row.why for row in self.rows.values())

    def leaks(self) -> dict[str, list[Hit]]:
        """Give the hits of each surface that has any."""
        return {name: list(row.hits) for name, row in self.rows.items() if row.verdict == "LEAK"}

    def to_json(self) -> str:
        """Write it down, for another process."""
        rows = {name: row.to_dict() for name, row in self.rows.items()}
        return json.dumps({"rows": rows, "status": self.status, "error": self.error, "values": self.values})

    @classmethod
    def from_json(cls, text: str) -> Look:
        """Take it up again."""
        found = json.loads(text)
        return cls(**{**found, "rows": {name: Row.from_dict(row) for name, row in found["rows"].items()}})


def looked_at(  # noqa: PLR0913 - a test names what it needs
    ref: str,
    packs: Path | str = CONTROLS,
    parameters: dict[str, Any] | None = None,
    *,
    pool: str = "prefork",
    undumpable: bool = True,
    settings: dict[str, Any] | None = None,
) -> Look:
    """Run an action in a worker of its own, look at it from this process, and give what was found."""
    values = {"canary": make_canary(), "canary_short": make_short_canary()}
    seeker = ValueSeeker()
    execution_id = new_execution_id()
    seeker.add(execution_id, values)
    surfaces = process_surfaces(seeker)
    told: dict[str, Any] = {"ref": ref, "packs": str(packs), "parameters": parameters or {}, "settings": settings or {}}
    told |= {"execution_id": execution_id, "pool": pool, "undumpable": undumpable}
    code = "from tests.security.process_looks import as_worker; as_worker()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps(told) + "\n")
        worker.stdin.flush()
        watched = Watched(execution_id, "t", "shown", worker.pid, int(worker.stdout.readline()))
        for surface in surfaces:
            surface.begin()
        worker.stdin.write(json.dumps(values) + "\n")
        worker.stdin.flush()
        while not select.select([worker.stdout], [], [], _PAUSE)[0]:
            if not watched.launcher_pid:
                watched.launcher_pid = next((seen.pid for seen in launchers_below(watched.pool_pid)), 0)
            for surface in surfaces:
                surface.look([watched])
        status, error = json.loads(worker.stdout.readline())
        watched.is_over = True
        rows = {}
        for surface in surfaces:
            (row,) = surface.end([watched])
            assert (row.surface, row.runtime) == (surface.name, "shown")
            rows[row.surface] = row
        worker.stdin.write("end\n")
    return Look(rows, status, error, values)


def as_worker() -> None:
    """Be a worker: a main process, which never reads the values, and a pool process, which runs one execution."""
    told = json.loads(_line())
    if told["undumpable"]:
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE, as the worker does at its start
    if told["pool"] == "prefork" and (pid := os.fork()):
        os.waitpid(pid, 0)
        return
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    values = json.loads(_line())
    packs = Path(told["packs"])
    loaded = load_settings(overrides={"packs": [str(packs)], **told["settings"]}, environ={}, directory=packs)
    registry = load_packs(loaded)
    declared = registry.get(told["ref"]).secrets
    executor = ActionExecutor(registry, LiteralSecrets({name: values[name] for name in declared}), loaded.settings)
    result = executor.execute(ExecutionRequest(told["execution_id"], told["ref"], told["parameters"]))
    sys.stdout.write(json.dumps([result.status, f"{result.error} {result.stderr}"]) + "\n")
    sys.stdout.flush()
    _line()
    executor.close()
    os._exit(0)


def _line() -> bytes:
    """Read one line and not a byte more: the next one is another process's."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line
