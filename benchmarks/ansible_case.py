"""A Python action against ansible-runner, which is in a virtual environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import interleaved
from benchmarks.rows import Row
from benchmarks.workspace import MONTH, SECRETS, Bench

__all__ = ["ansible"]

_VENV = Path(__file__).parents[1] / ".venv-bench"


def ansible(bench: Bench) -> list[Row]:
    """Measure a Python action against `ansible_runner.run` of the naive script, its import not counted."""
    with _runner(bench) as theirs:
        if theirs() != bench.execute("bench.python"):
            msg = "ansible_runner.run and the action do not do the same"
            raise RuntimeError(msg)
        ratio = interleaved(lambda: bench.execute("bench.python"), theirs, 7, ours_per_round=10)
    return [Row("Python action: wall", "ansible_runner.run", ratio, 0.01)]


@contextmanager
def _runner(bench: Bench) -> Iterator[Callable[[], Any]]:
    python = _VENV / "bin" / "python"
    if not python.exists():
        msg = f"{python} is not there: `make bench` makes it"
        raise RuntimeError(msg)
    folder = bench.folder / "ansible"
    folder.mkdir()
    variables = {"PARAMETERS": json.dumps(MONTH)} | {f"SECRET_{key.upper()}": text for key, text in SECRETS.items()}
    script = Path(__file__).parent / "ansible_peer.py"
    arguments = [str(script), str(folder), sys.executable, str(bench.folder / "naive.py"), json.dumps(variables)]
    environ = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_HOME": str(folder),
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
        "ANSIBLE_REMOTE_TMP": str(folder / "remote"),
    }
    with subprocess.Popen(
        [str(python), *arguments], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:

        def run() -> Any:
            assert peer.stdin  # noqa: S101 - for the type
            assert peer.stdout  # noqa: S101 - the same
            peer.stdin.write("\n")
            peer.stdin.flush()
            return json.loads(peer.stdout.readline())

        yield run
        peer.stdin.close()  # type: ignore[union-attr]
