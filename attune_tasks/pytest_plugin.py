"""The fixture `leak_scanner` for users' own tests. ``-p no:attune_tasks`` turns it off.

pytest imports this in every run where the package is installed: it loads nothing until the fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from attune_tasks.leaks.leak_scanner import LeakScanner

__all__ = ["leak_scanner"]


@pytest.fixture
def leak_scanner() -> LeakScanner:
    """Run actions with canaries in place of their secrets, and see where these show."""
    from attune_tasks.leaks.leak_scanner import LeakScanner

    return LeakScanner()
