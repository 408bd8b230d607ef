"""``python -m attune_tasks.cli``."""

from __future__ import annotations

from attune_tasks.cli import main

main(prog_name="attune-tasks")
