"""What to do where only root may look, in the same words everywhere."""

from __future__ import annotations

from typing import Final

__all__ = ["AS_ROOT"]

AS_ROOT: Final = "start the worker as root (in a test: pytest)"
"""Whoever looks is the worker's child and its user; the fixture `leak_scanner` looks in pytest's own process."""
