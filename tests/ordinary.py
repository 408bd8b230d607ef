"""Running Python as an ordinary user, for root sees everything and may end everything: CI is root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

import attune_tasks

__all__ = ["ROOT", "OrdinaryUser", "ordinary_user"]

ROOT: Final = Path(__file__).parents[1]
_PACKAGES: Final = Path(attune_tasks.__file__).parents[1]


@dataclass(frozen=True)
class OrdinaryUser:
    """A user without an entry in the password database, without groups, with a folder of its own."""

    uid: int
    folder: Path
    """Its own, and open to nobody else. Its working directory and TMPDIR are below it."""
    interpreter: str

    def popen(self, code: str, **more: Any) -> subprocess.Popen[str]:
        """Start `code` in an interpreter which has the package, the tests and what both need."""
        settings: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "text": True,
            "cwd": self.folder,
            "env": self.environment(),
        }
        if os.geteuid() == 0:
            settings |= {"user": self.uid, "group": self.uid, "extra_groups": []}
        return subprocess.Popen([self.interpreter, "-c", code], **{**settings, **more})

    def environment(self) -> dict[str, str]:
        """Give the environment in which the package and the tests are found."""
        return {"PATH": os.environ["PATH"], "PYTHONPATH": _python_path(), "TMPDIR": str(self.folder / "tmp")}

    def run(self, code: str, timeout: float = 90.0, **more: Any) -> str:
        """Run `code` to its end, which has to be a success; give what it printed."""
        with self.popen(code, **more) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        assert process.returncode == 0, output
        return output

    def processes(self) -> list[int]:
        """Give the pids of all that this user runs, or that run with one of its uids; zombies are left out."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    status = (entry / "status").read_text()
                except OSError:
                    continue
                uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
                if str(self.uid) in uids and "State:\tZ" not in status:
                    found.append(int(entry.name))
        return found


@pytest.fixture
def ordinary_user() -> Iterator[OrdinaryUser]:
    """Give an ordinary user, nothing of whom is left afterwards. Each process of xdist has one of its own."""
    uid = 20_000 + os.getpid() % 40_000 if os.geteuid() == 0 else os.geteuid()
    folder = Path(tempfile.mkdtemp(prefix="ordinary-"))
    (folder / "tmp").mkdir()
    if os.geteuid() == 0:
        for path in (folder, folder / "tmp"):
            os.chown(path, uid, uid)
    try:
        yield OrdinaryUser(uid, folder, _interpreter())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _python_path() -> str:
    """Give the folders of the tests, the package and the site-packages, which any user can read.

    Where one of them is below a folder that is closed to others, as /root is, it is copied.
    """
    site = next(path for path in sys.path if path.endswith("site-packages"))
    if _works("/usr/bin/env", ["test", "-r", f"{ROOT}/tests/ordinary.py"]) and _works(
        "/usr/bin/env", ["test", "-r", f"{site}/pydantic/__init__.py"]
    ):
        return os.pathsep.join((str(ROOT), str(_PACKAGES), site))
    copy = Path(tempfile.mkdtemp(prefix="ordinary-packages-"))
    copy.chmod(0o755)
    ignored = shutil.ignore_patterns("__pycache__", "ruff*", "mypy*", "*.pyi")
    for name in ("attune_tasks", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copytree(site, copy / "site", ignore=ignored)
    import atexit

    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    return os.pathsep.join((str(copy), str(copy / "site")))


@cache
def _interpreter() -> str:
    """Find an interpreter of our version that any user can start: not one under /root."""
    if os.geteuid():
        return sys.executable
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    for found in (sys.executable, f"/usr/bin/python{wanted}", f"/usr/local/bin/python{wanted}"):
        if Path(found).exists() and _works(found, ["-c", "import pydantic"], PYTHONPATH=_python_path()):
            return found
    msg = (
        f"these tests need a Python {wanted} that every user can start, which {sys.executable} is not: install"
        f" python{wanted} in /usr/bin or /usr/local/bin"
    )
    raise AssertionError(msg)


def _works(program: str, arguments: list[str], **env: str) -> bool:
    whom: dict[str, Any] = {"user": 61_999, "group": 61_999, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        done = subprocess.run(
            [program, *arguments],
            env={"PATH": "/usr/bin:/bin", **env},
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            **whom,
        )
    except OSError:
        return False
    return done.returncode == 0
