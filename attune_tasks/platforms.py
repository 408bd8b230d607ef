"""What does not hold on a platform other than Linux. Said once, by the command line and by the worker."""

from __future__ import annotations

import sys

__all__ = ["platform_notice"]


def platform_notice(platform: str = sys.platform) -> str | None:
    """Give one line for people who run actions on `platform`; None on Linux, where all of it holds."""
    if platform == "linux":
        return None
    return (
        f"this is {platform}, not Linux: good for development only. There is no /proc to look for left processes in,"
        " no pidfd, so the end of an action is seen a little later; and shell and executable actions need a bash of"
        " 4.4 or newer first on PATH"
    )
