"""Looks at the files of an honest action as an ordinary user; run by its tests in a process of that user."""

from __future__ import annotations

import json
from pathlib import Path

from attune_tasks.leaks.file_surfaces import FileRoots, file_surfaces
from tests.leak_runs import LeakRun, write_action

__all__ = ["catch", "look"]

_SCRIPTS = {
    "python": "import time\ndef run(params):\n    get_secret('canary')\n    time.sleep(1)\n",
    "shell": "get_secret -v canary canary\nsleep 1\n",
}


def look(runtime: str, place: str) -> None:
    """Run an action whose folder holds what can't be read; print verdict and reason by surface."""
    folder = Path(place)
    changed, home = folder / "changed", folder / "home"
    for path in (changed, home, changed / "closed"):
        path.mkdir()
    (changed / "secret").write_text("something")
    (changed / "secret").chmod(0)
    (changed / "closed").chmod(0)
    ref = write_action(folder / "packs", "honest", _SCRIPTS[runtime], runner=runtime)
    run = LeakRun(runtime)
    surfaces = file_surfaces(run.seeker, roots=FileRoots(temporary=[folder / "tmp"], home=[home], changed=[changed]))
    rows = run.rows(ref, surfaces, packs=folder / "packs")
    (changed / "closed").chmod(0o700)
    print(json.dumps({name: (row.verdict, row.why) for name, row in rows.items()}))  # noqa: T201 - for the test


def catch(control: str, place: str) -> None:
    """Run an action that leaks on purpose; print the verdicts by surface."""
    folder = Path(place)
    run = LeakRun()
    surfaces = file_surfaces(run.seeker, roots=FileRoots(temporary=[], home=[], changed=[]))
    parameters = {"folder": str(folder)} if control == "working_folder_file" else {}
    rows = run.rows(f"leak_controls.{control}", surfaces, parameters=parameters)
    print(json.dumps({name: row.verdict for name, row in rows.items()}))  # noqa: T201 - for the test
