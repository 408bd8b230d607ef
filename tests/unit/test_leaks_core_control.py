"""The control that leaves a core file: the kernel's, one of its own where that writes none, or why there is none."""

from __future__ import annotations

import io
import runpy
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from attune_tasks.leaks.processes.core_pattern import pid_of_core, read_core_pattern
from tests.leak_runs import CONTROLS

Script: TypeAlias = dict[str, Any]
PIPED: Final = "|/usr/lib/collect %P"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Give what the action's script is made of; cores go to `tmp_path`, and to `crash` below it."""
    monkeypatch.chdir(tmp_path)
    made = runpy.run_path(str(CONTROLS / "leak_controls" / "actions" / "core_dump.py"))
    inner: Script = made["run"].__globals__
    inner["CRASH_FOLDERS"] = (str(tmp_path / "crash"),)
    return inner


def test_what_the_kernel_says_of_a_crash_is_true(script: Script, tmp_path: Path) -> None:
    pattern = read_core_pattern()
    if pattern is None or pattern.program or pattern.folder:
        pytest.fail("set kernel.core_pattern to `core` for this test: what the kernel writes is looked at")
    pid, dumped = script["crash"](b"value")
    (path,) = tmp_path.iterdir()
    with path.open("rb") as file:
        assert (pid_of_core(file), dumped) == (pid, True)
    script["PROGRAM"] = "input()"
    assert script["crash"](b"value")[1] is False


@pytest.mark.parametrize(("pattern", "told"), [(PIPED, {"core_dumps": 1}), ("core", None)])
def test_the_kernels_word_is_handed_on_of_a_core_that_a_program_got(script: Script, pattern: str, told: Any) -> None:
    script["crash"] = lambda _: (7, True)
    assert script["leave_core"](pattern, b"value", 0) == told


@pytest.mark.parametrize(("pattern", "folder", "name"), [(PIPED, "crash", "core.control."), ("core.%p", ".", "core.")])
def test_where_the_kernel_writes_none_one_is_written(
    script: Script, tmp_path: Path, pattern: str, folder: str, name: str
) -> None:
    script["crash"] = lambda _: (7, False)
    (tmp_path / "crash").mkdir()
    assert script["leave_core"](pattern, b"value", 0) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [], "it is removed"
    script["files_in"] = lambda _: set()
    script["leave_core"](pattern, b"value", 0)
    (path,) = [path for path in (tmp_path / folder).iterdir() if path.is_file()]
    assert path.name.startswith(name)
    data = path.read_bytes()
    assert pid_of_core(io.BytesIO(data)) == int(path.name.removeprefix(name))
    assert data.endswith(b"value")


def test_where_none_can_be_left_it_says_so(script: Script, tmp_path: Path) -> None:
    script["crash"] = lambda _: (7, False)
    (tmp_path / "crash").symlink_to("/proc/self")  # where nobody can make a file, not even root
    told = script["leave_core"](PIPED, b"value", 0)
    assert list(told) == ["could_not_leak"]
    assert told["could_not_leak"].startswith(f"no core can be left in {tmp_path}/crash: ")
