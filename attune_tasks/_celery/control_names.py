"""The names of our control commands: clients know them without loading what a worker needs."""

from __future__ import annotations

from typing import Final

__all__ = ["CANCEL", "LAUNCHERS"]

CANCEL: Final = "attune_cancel"
LAUNCHERS: Final = "attune_launchers"
