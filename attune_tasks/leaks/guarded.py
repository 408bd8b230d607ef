"""A surface whose fault is its own: the others go on, and its rows say that nothing is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attune_tasks.errors import place_of
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import Surface, Watched

__all__ = ["Guarded"]


class Guarded:
    """Looks by another surface, until that raises what it should not."""

    def __init__(self, surface: Surface) -> None:
        """Guard `surface`."""
        self.surface = surface
        self.name = surface.name
        self._fault = ""

    @property
    def gone_through(self) -> Mapping[int, float]:
        """Give what :class:`MemorySurface` says of the executions; nothing for a surface without memory."""
        told: Mapping[int, float] = getattr(self.surface, "gone_through", {})
        return told

    def begin(self) -> None:
        """Begin, unless it can't."""
        try:
            self.surface.begin()
        except Exception as error:  # noqa: BLE001 - whatever it is; its text may hold a value
            self._note(error)

    def look(self, executions: Sequence[Watched]) -> None:
        """Look, unless something went wrong before."""
        if self._fault:
            return
        try:
            self.surface.look(executions)
        except Exception as error:  # noqa: BLE001 - the same
            self._note(error)

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Give its rows. After a fault only a leak still counts."""
        rows: list[Row] = []
        try:
            rows += self.surface.end(executions)
        except Exception as error:  # noqa: BLE001 - the same
            self._note(error)
        if not self._fault:
            return rows
        leaks = {row.runtime: row for row in rows if row.verdict == "LEAK"}
        runtimes = dict.fromkeys(each.runtime for each in executions)
        return [leaks.get(runtime) or Row(self.name, runtime, "not looked at", self._fault) for runtime in runtimes]

    def _note(self, error: Exception) -> None:
        self._fault = self._fault or f"the look itself failed: {type(error).__name__} at {place_of(error)}: report this"
