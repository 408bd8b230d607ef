"""What holds for the project as a whole: light imports, lock files, sizes, the tools that set it up."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import attune_tasks
from tests import conftest, kill_times, servers

ROOT = Path(__file__).parents[2]
HEAVY = {"pydantic", "pydantic_settings", "hvac", "jsonschema"}
LOCK_FILES = sorted((ROOT / "requirements").glob("*.txt"))
MAXIMUM_LINES = 400
SHELL_BASICS = ("sh", "bash", "grep")


def heavy_modules_after(code: str) -> set[str]:
    """Run `code` in a fresh interpreter and give those of the heavy modules that it loaded."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return HEAVY & set(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize("module", ["attune_tasks", "attune_tasks.tasks"])
def test_importing_for_enqueueing_loads_nothing_heavy(module: str) -> None:
    assert heavy_modules_after(f"import {module}") == set()


@pytest.mark.parametrize("module", sorted(HEAVY))
def test_a_heavy_import_would_be_seen(module: str) -> None:
    assert module in heavy_modules_after(f"import attune_tasks, {module}")


def project_table() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def test_there_is_one_version() -> None:
    assert attune_tasks.__version__ == project_table()["version"] == importlib.metadata.version("attune-tasks")


def test_the_changelog_has_the_version() -> None:
    assert f"## [{project_table()['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_there_is_a_lock_file_for_each_use() -> None:
    assert {path.stem for path in LOCK_FILES} == {"run", "test", "image", "docs", "build", "bench"}


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.stem)
def test_every_locked_requirement_has_a_version_and_hashes(path: Path) -> None:
    logical_lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    requirements = [line for line in logical_lines if line.strip() and not line.lstrip().startswith("#")]
    assert requirements
    for line in requirements:
        assert re.match(r"[A-Za-z0-9._-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.stem)
def test_a_lock_file_names_no_host_and_no_index(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host| @ ", text)


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", ["run", "build"])
def test_the_tests_run_with_the_versions_that_users_get(name: str) -> None:
    assert locked(name).items() <= locked("test").items()


_WITHOUT = """
import importlib, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
for name in {modules}:
    importlib.import_module(name)
"""


@pytest.mark.parametrize("left_out", ["", "packaging"])
def test_what_celery_needs_for_redis_comes_with_the_package(left_out: str) -> None:
    comes = {re.sub(r"[-_.]+", "-", name).lower() for name in locked("run")} - {left_out} | {"attune-tasks"}
    found = importlib.metadata.packages_distributions().items()
    blocked = {name for name, of in found if not comes & {re.sub(r"[-_.]+", "-", each).lower() for each in of}}
    modules = ["kombu.transport.redis", "celery.backends.redis"]
    script = _WITHOUT.format(blocked=blocked, modules=modules)
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode != 0) == bool(left_out), done.stderr


def test_no_uv_lock_is_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert [name for name in listed.splitlines() if Path(name).name == "uv.lock"] == []


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "attune_tasks").rglob("*.py")
    }
    assert lengths
    assert {str(path): length for path, length in lengths.items() if length > MAXIMUM_LINES} == {}


def test_servers_noted_in_two_processes_of_xdist_are_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = ["redis", "7.0.15", "broker"]
    monkeypatch.setattr(servers, "_used", set())
    conftest.pytest_testnodedown(SimpleNamespace(workeroutput={"used_servers": [redis]}))
    conftest.pytest_testnodedown(SimpleNamespace(workeroutput={"used_servers": [redis, ["vault", "1.15.0", ""]]}))
    conftest.pytest_testnodedown(SimpleNamespace())  # a process that crashed
    assert servers.used_servers() == [("redis", "7.0.15", "broker"), ("vault", "1.15.0", "")]


def test_a_process_of_xdist_hands_over_what_it_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_used", set())
    monkeypatch.setattr(kill_times, "_measured", [])
    servers.used_server("redis", "7.0.15")
    kill_times.kill_time("cancel", "threads", 0.5)
    output: dict[str, Any] = {}
    session: Any = SimpleNamespace(config=SimpleNamespace(workeroutput=output))
    conftest.pytest_sessionfinish(session)
    assert output == {"used_servers": [["redis", "7.0.15", ""]], "kill_times": [["cancel", "threads", 0.5]]}
    conftest.pytest_testnodedown(SimpleNamespace(workeroutput=output))
    assert kill_times.kill_times() == [("cancel", "threads", 0.5)] * 2


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """Give a folder which, as PATH, has a shell's basics and all that the tests need but ps."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for command in SHELL_BASICS:
        found = shutil.which(command)
        assert found
        (folder / command).symlink_to(found)
    for name in needed_commands() - {*SHELL_BASICS, "ps"}:
        put_command(folder, name, "true")
    return folder


def needed_commands() -> set[str]:
    """Give the commands that the script looks for: the first word of each look, as the script has it."""
    script = (ROOT / "tools" / "ensure-test-tools").read_text(encoding="utf-8")
    found = re.findall(r'^ +need (\S+) "(?:command -v )?([\w-]+)', script, flags=re.MULTILINE)
    assert len(found) == script.count("    need ")
    assert ("procps", "ps") in found
    return {command for _, command in found}


def put_command(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def run_tool(name: str, *arguments: str | Path, path: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "tools" / name), *map(str, arguments)]
    return subprocess.run(command, env={"PATH": str(path)}, check=False, capture_output=True, text=True)


def test_a_missing_test_tool_stops_an_ordinary_user_with_the_line_to_type(bare_path: Path) -> None:
    put_command(bare_path, "id", "echo 1000")
    done = run_tool("ensure-test-tools", path=bare_path)
    assert done.returncode == 1
    assert done.stderr.endswith("Type: sudo apt-get install procps\n")


def test_a_missing_test_tool_is_installed_by_root_who_is_told_first(bare_path: Path) -> None:
    put_command(bare_path, "id", "echo 0")
    put_command(bare_path, "chmod", f'exec {shutil.which("chmod")} "$@"')
    install = f"printf '#!/bin/sh\\necho ps from procps-ng 4\\n' > {bare_path}/ps; chmod 755 {bare_path}/ps"
    put_command(bare_path, "apt-get", f'echo "ran: $*"; case "$*" in *" install "*) {install};; esac')
    done = run_tool("ensure-test-tools", path=bare_path)
    assert done.returncode == 0, done.stderr
    announced, *ran = done.stdout.splitlines()
    assert announced.endswith("Running: apt-get install procps")
    waits = "-o DPkg::Lock::Timeout=300"  # for whoever installs something at that moment
    assert ran == [f"ran: {waits} update -qq", f"ran: {waits} install -y -qq --no-install-recommends procps"]


def test_a_test_tool_which_stays_missing_stops_root(bare_path: Path) -> None:
    put_command(bare_path, "id", "echo 0")
    put_command(bare_path, "apt-get", "true")
    done = run_tool("ensure-test-tools", path=bare_path)
    assert done.returncode == 1
    assert "procps" in done.stderr


def test_nothing_is_installed_where_all_test_tools_are_there(bare_path: Path) -> None:
    put_command(bare_path, "ps", "echo ps from procps-ng 4")
    put_command(bare_path, "apt-get", "echo called")
    done = run_tool("ensure-test-tools", path=bare_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_old_python_is_refused_in_one_line(bare_path: Path, tmp_path: Path) -> None:
    put_command(bare_path, "python3", "exit 1")
    done = run_tool("make-venv", tmp_path / "venv", path=bare_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "apt-get install python3.11 python3.11-venv" in done.stderr


def test_a_python_without_venv_is_refused_with_the_line_to_type(bare_path: Path, tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError", encoding="utf-8")
    put_command(bare_path, "python3", f'PYTHONPATH={tmp_path} exec {sys.executable} "$@"')
    done = run_tool("make-venv", tmp_path / "venv", path=bare_path)
    assert done.returncode == 1
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.stderr == f"python3 comes without venv and ensurepip: apt-get install python{version}-venv\n"
    assert not (tmp_path / "venv").exists()
