"""How an execution is ended: SIGTERM to the whole tree, a grace, a warning, SIGKILL until nothing is left."""

from __future__ import annotations

import logging
import time
from typing import Protocol

__all__ = ["Ending", "Tree"]

logger = logging.getLogger("attune_tasks.process")


class Tree(Protocol):
    """All processes of one execution."""

    @property
    def kill_seconds(self) -> float:
        """How long :meth:`kill` is given before :meth:`abandon` follows."""

    def terminate(self) -> None:
        """Ask all of them to end."""

    def kill(self) -> None:
        """Have all of them killed."""

    def abandon(self) -> None:
        """Kill them in another way: the first has not worked."""


class Ending:
    """The one way in which deadline, cancellation, shutdown and a plain end see to it that nothing is left."""

    def __init__(self, tree: Tree, grace: float, name: str) -> None:
        """Prepare to end `tree`, `grace` seconds after it was asked to; `name` is for the warning."""
        self._tree = tree
        self._grace = grace
        self._name = name
        self._killing = False
        self.due: float | None = None
        """When the next step is due, by time.monotonic(); None before the beginning."""

    @property
    def begun(self) -> bool:
        """Whether the tree was asked to end."""
        return self.due is not None

    def begin(self) -> None:
        """Ask the tree to end."""
        if not self.begun:
            self.due = time.monotonic() + self._grace
            self._tree.terminate()

    def kill(self) -> None:
        """Kill what is left, with no more grace."""
        if not self._killing:
            self._killing = True
            self.due = time.monotonic() + self._tree.kill_seconds
            self._tree.kill()

    def abandon(self) -> None:
        """Go around what does not kill the tree."""
        logger.warning("%s: its launcher does not kill it, and is killed itself", self._name)
        self._tree.abandon()
        self.due = time.monotonic() + self._tree.kill_seconds

    def escalate_if_due(self) -> None:
        """Take the next step where it is due."""
        if self.due is None or time.monotonic() < self.due:
            return
        if self._killing:
            self.abandon()
        else:
            if self._grace > 0:
                logger.warning("%s has not ended %g seconds after SIGTERM, and is killed", self._name, self._grace)
            self.kill()
