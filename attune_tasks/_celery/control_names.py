"""The names of our control commands: clients know them without loading what a worker needs."""

from __future__ import annotations

from typing import Final

__all__ = ["CANCEL", "EXECUTIONS", "LAUNCHERS", "LEAK_CHECK"]

CANCEL: Final = "attune_cancel"
EXECUTIONS: Final = "attune_executions"
LAUNCHERS: Final = "attune_launchers"
LEAK_CHECK: Final = "attune_leak_check"
