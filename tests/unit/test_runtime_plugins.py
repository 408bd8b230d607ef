"""A second distribution brings a runtime of its own; what is wrong with one plugin does not harm the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.distributions import install_distribution

PLUGIN = """
import shutil
from attune_tasks.runtimes import run


class AwkRuntime:
    name = "awk"

    def __init__(self, program="awk"):
        self._program = program

    def execute(self, context, supervision=None):
        return run(context, [shutil.which(self._program), "-f", str(context.script_path())], supervision)

    def describe(self):
        return self._program
"""

ASK = """
import json, sys
from attune_tasks.context import ExecutionContext
from attune_tasks.errors import AttuneTasksError
from attune_tasks.runtimes import get_runtime, runtime_names, runtime_problems
said = {"names": runtime_names(), "problems": runtime_problems()}
for name in sys.argv[2:]:
    try:
        context = ExecutionContext(1, "a.b", code_path=sys.argv[1], secrets={"key": "v"}, parameters={"x": "y"})
        result = get_runtime(name).execute(context)
        said[name] = [result.status, result.stdout]
    except AttuneTasksError as error:
        said[name] = [error.code, str(error)]
print(json.dumps(said))
"""


def install(site: Path, distribution: str, module: str, source: str, entry: str) -> None:
    name, _, value = entry.partition(" = ")
    install_distribution(site, distribution, module, source, {"attune_tasks.runtimes": {name: value}})


def ask(site: Path, script: Path, *names: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(script), *names],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "action.awk"
    path.write_text('NR == 1 { print substr($0, 1, 11), ENVIRON["ATTUNE_ACTION_X"] }\n')
    return path


def test_a_second_distribution_brings_a_runtime_that_runs(tmp_path: Path, script: Path) -> None:
    install(tmp_path / "site", "attune-awk", "attune_awk", PLUGIN, "awk = attune_awk:AwkRuntime")
    said = ask(tmp_path / "site", script, "awk")
    assert said["awk"] == ["succeeded", '{"key":"v"} y\n']
    assert set(said["names"]) == {"awk", "executable", "python", "shell"}
    assert said["problems"] == []


def test_a_duplicate_name_is_refused_and_names_both_distributions(tmp_path: Path, script: Path) -> None:
    install(tmp_path / "site", "attune-other", "attune_other", PLUGIN, "shell = attune_other:AwkRuntime")
    said = ask(tmp_path / "site", script, "shell")
    kind, text = said["shell"]
    assert kind == "plugin_invalid"
    assert "attune-other 1.0" in text
    assert "attune-tasks" in text
    assert any("attune-other" in problem for problem in said["problems"])


def test_a_plugin_that_fails_at_import_is_named_and_the_others_work(tmp_path: Path, script: Path) -> None:
    site = tmp_path / "site"
    install(site, "attune-broken", "attune_broken", "raise RuntimeError('hunter2')", "broken = attune_broken:X")
    install(site, "attune-awk", "attune_awk", PLUGIN, "awk = attune_awk:AwkRuntime")
    said = ask(site, script, "broken", "awk", "absent")
    assert said["awk"][0] == "succeeded"
    assert said["broken"][0] == "plugin_invalid"
    assert "attune-broken 1.0" in said["broken"][1]
    assert "hunter2" not in said["broken"][1]
    assert said["absent"][0] == "unknown_runtime"
    assert "awk, broken" in said["absent"][1]


def test_a_plugin_that_is_no_runtime_is_refused(tmp_path: Path, script: Path) -> None:
    install(tmp_path / "site", "attune-empty", "attune_empty", "class X: ...", "empty = attune_empty:X")
    kind, text = ask(tmp_path / "site", script, "empty")["empty"]
    assert (kind, "no execute and no describe" in text) == ("plugin_invalid", True)
