"""`leak-check` where neither worker nor caller is root: nothing leaks, and what is closed to them is told shortly."""

from __future__ import annotations

import json

import pytest

from attune_tasks.leaks.as_root import AS_ROOT
from tests.ordinary import OrdinaryUser

pytestmark = pytest.mark.timeout(400)

# Not by the tests' own worker: that takes a client of Redis, which this user's Python need not have.
CODE = """
import json, os, subprocess, sys, time
from pathlib import Path
from tests.integration.packs import write_packs, write_secrets
folder = Path.cwd() / "place"
folder.mkdir()
environ = {
    **os.environ,
    "HOME": str(folder),
    "XDG_STATE_HOME": str(folder / "state"),
    "ATTUNE_TASKS_PACKS": str(write_packs(folder)),
    "ATTUNE_TASKS_SECRETS__FILE__PATH": str(write_secrets(folder)),
    "ATTUNE_TASKS_LEAK_CHECK__ENABLED": "true",
}
path = folder / "worker.log"
command = [sys.executable, "-m", "celery", "-A", "attune_tasks.app", "worker", "-c", "2", "-E", "-l", "INFO"]
with path.open("wb") as log:
    worker = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
try:
    until = time.monotonic() + 60
    while b" ready." not in path.read_bytes():
        assert time.monotonic() < until and worker.poll() is None, path.read_text()
        time.sleep(0.1)
    told = []
    for more in ([], ["--json"]):
        command = [sys.executable, "-m", "attune_tasks.cli", "leak-check", "--file-seconds", "1", *more]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
        told.append([done.returncode, done.stdout, done.stderr])
    print(json.dumps(told))
finally:
    worker.terminate()
    worker.wait()
"""


def test_without_root_nothing_leaks_and_each_reason_is_told_once(ordinary_user: OrdinaryUser) -> None:
    (code, table, said), (same_code, rows_as_json, _) = json.loads(ordinary_user.run(CODE, timeout=300))
    assert (code, same_code) == (0, 0), table + said
    rows = {(row["surface"], row["runtime"]): row for row in json.loads(rows_as_json)["rows"]}
    assert "LEAK" not in {row["verdict"] for row in rows.values()}
    for surface in ("launcher memory", "main process memory", "seen by another user"):
        row = rows[surface, "python"]
        assert row["verdict"] == "not looked at"
        assert AS_ROOT in row["why"], row
    for surface in ("environ", "command lines", "open files", "deleted files", "log", "events", "broker keys"):
        assert rows[surface, "shell"]["verdict"] == "clean", rows[surface, "shell"]
    below = table.splitlines()[1 + len({surface for surface, _ in rows}) :]
    reasons = [line.partition(": ")[2] for line in below]
    # By runtime, for python's own processes are closed, and exec's are not.
    assert len(below) < 26, table
    assert any(line.startswith("environ, open files, mapped files, names of working folders") for line in below), table
    assert len(reasons) - len(set(reasons)) <= 3, table
