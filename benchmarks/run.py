"""Measures every case in a process of its own, prints a table, writes results/latest.json.

Exit code 1 where a case misses its goal.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def main() -> int:
    """Measure all cases, or, called with a name, one of them."""
    from benchmarks.cases import CASES, prepare

    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory(prefix="attune-bench-") as folder:
            sys.stdout.write(json.dumps(CASES[sys.argv[1]](prepare(Path(folder))).as_dict()))
        return 0
    rows = []
    for name in CASES:
        done = subprocess.run([sys.executable, __file__, name], stdout=subprocess.PIPE, check=True)
        rows.append(json.loads(done.stdout))
        row = rows[-1]
        line = f"{row['case']:44} against {row['against']:42} {row['ratio']:6.3f}  "
        if row["goal"] is None:
            line += "no goal yet"
        else:
            line += f"goal {row['goal']:.2f}  {'holds' if row['holds'] else 'MISSES'}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    (ROOT / "benchmarks" / "results" / "latest.json").write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if all(row["holds"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
