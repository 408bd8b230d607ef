"""Where the files lie that come with the package: the commented examples, and the pack that the demo runs."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bundled_packs", "config_folder"]

_PACKAGE = Path(__file__).parents[1]


def config_folder() -> Path:
    """Give the folder of examples: ``attune_tasks/_config`` where installed, ``config/`` in a checkout."""
    installed = _PACKAGE / "_config"
    return installed if installed.is_dir() else _PACKAGE.parent / "config"


def bundled_packs() -> Path:
    """Give the folder of the bundled example packs."""
    return _PACKAGE / "_bundled" / "packs"
