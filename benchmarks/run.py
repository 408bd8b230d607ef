"""Measures the cases, each in a process of its own, prints a table, and writes results/latest.json.

Exit code 1 where a row misses its goal and is no known miss, or where a case fails; 2 where there is no such case.
With names of cases as arguments it measures these, and writes nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.rows import Row, exit_code, known_misses, unknown_cases, verdict  # noqa: E402 - found by the line above

RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
_MEASURE = "--measure"


def main(arguments: list[str]) -> int:
    """Measure all cases, or those that are named."""
    from benchmarks.cases import CASES

    if arguments[:1] == [_MEASURE]:
        _measure(arguments[1])
        return 0
    if missing := sorted(set(arguments) - set(CASES)):
        sys.stderr.write(f"There is no case {', '.join(missing)}; there are: {', '.join(CASES)}\n")
        return 2
    known = known_misses()
    rows: list[Row] = []
    failed = []
    started = time.monotonic()
    _say(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; what else runs here takes part in all figures")
    for name in arguments or CASES:
        measured = _rows_of(name)
        if measured is None:
            failed.append(name)
            _say(f"{name}: failed, see above")
            continue
        for row in measured:
            _say(_line(row) + verdict(row, known))
        rows += measured
    _say(f"{time.monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f}")
    if failed:
        _say(f"No figures for {', '.join(failed)}: nothing is written.")
        return 1
    if not arguments:
        for case in unknown_cases(rows, known):
            _say(f'known_misses.toml names "{case}", which is no row: take it off')
        RESULTS.write_text(json.dumps([row.as_dict() for row in rows], indent=2, ensure_ascii=False) + "\n")
    return exit_code(rows, known)


def _measure(name: str) -> None:
    """Measure a case in this process, and print its rows as JSON."""
    from benchmarks.cases import CASES
    from benchmarks.workspace import prepare

    with tempfile.TemporaryDirectory(prefix="attune-bench-") as folder:
        rows = CASES[name](prepare(Path(folder)))
    sys.stdout.write(json.dumps([asdict(row) for row in rows]))


def _rows_of(name: str) -> list[Row] | None:
    """Give a case's rows; None where it failed."""
    # What the caller has set for Python would change what the naive children take, and ours not: they don't inherit it.
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COVERAGE_"))}
    done = subprocess.run([sys.executable, __file__, _MEASURE, name], env=environ, stdout=subprocess.PIPE, check=False)
    return None if done.returncode else [Row(**entry) for entry in json.loads(done.stdout)]


def _line(row: Row) -> str:
    goal = "" if row.goal is None else f"{'at least' if row.at_least else 'at most'} {row.goal:.2f}"
    return f"{row.case:57} against {row.against:62} {row.ratio:7.4f}  {goal:14} "


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
