"""What may refuse the start of a child. It is given by the executor: this layer knows no secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

__all__ = ["StartGuard"]


class StartGuard(Protocol):
    """Refuses to start what would show what others must not see."""

    def check_arguments(self, argv: Sequence[str], ours: Callable[[str], bool]) -> None:
        """Look at `argv`, of which `ours` says what nobody else has written. Raises an AttuneTasksError."""

    def check_environment(self, env: Mapping[str, str]) -> None:
        """Look at a child's environment. Raises an AttuneTasksError."""
