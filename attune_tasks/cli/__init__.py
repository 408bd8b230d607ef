"""The command line: ``attune-tasks``. Thin: each command asks the layers below and prints what they say."""

from __future__ import annotations

from attune_tasks.cli.commands import main

__all__ = ["main"]
