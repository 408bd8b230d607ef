"""``python -m tests.soak --executions 5000 --seconds 3000``: soak, and print the table; 1 where something is wrong."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.run import Soak


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--executions", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=3000.0, help="for sending them")
    parser.add_argument("--pause", type=float, default=8.0, help="seconds from one kill to the next")
    parser.add_argument("--keep", action="store_true", help="the folder with all logs, and say where it is")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        table = Soak(folder, options.executions, options.seconds, options.pause).run()
    finally:
        if options.keep:
            sys.stdout.write(f"{folder}\n")
        else:
            shutil.rmtree(folder)
    sys.stdout.write(f"{table}\n")
    return 1 if table.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
