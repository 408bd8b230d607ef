"""Which names of environment variables a pack may set, and which it may allow its callers to set."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["check_allowed_name", "check_set_name"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# Each of these makes an interpreter or the linker load or run something before the action's first line.
_LOADERS: Final = re.compile(
    r"(LD_|DYLD_|PYTHON|BASH_FUNC|PERL5|RUBY).*"
    r"|PATH|ENV|BASH_ENV|IFS|PS4|SHELLOPTS|BASHOPTS|PROMPT_COMMAND|GCONV_PATH|GLIBC_TUNABLES|NODE_OPTIONS|NODE_PATH"
    r"|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS"
)


def check_set_name(name: str) -> str:
    """Give `name` back; raises ValueError where a pack can't set a variable of this name."""
    if not _NAME.fullmatch(name):
        msg = f"expected a variable's name, {_NAME.pattern}"
        raise ValueError(msg)
    if name.startswith("ATTUNE_"):
        msg = "names that begin with ATTUNE_ belong to attune_tasks"
        raise ValueError(msg)
    return name


def check_allowed_name(name: str) -> str:
    """Give `name` back; raises ValueError where a caller must not be allowed to set this variable."""
    check_set_name(name)
    if _LOADERS.fullmatch(name):
        msg = f"a caller could run code of its own by {name}: put it under env.set"
        raise ValueError(msg)
    return name
