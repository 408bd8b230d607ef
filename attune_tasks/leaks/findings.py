"""What one surface has found so far, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attune_tasks.leaks.rows import BETWEEN_REASONS, Hit, Row
from attune_tasks.leaks.surface import Found, Seeker, Watched
from attune_tasks.log_fields import one_line

__all__ = ["Findings"]

_HITS: Final = 20
"""Of one execution on one surface: more of the same help nobody."""


class Findings:
    """Searches for a surface, and keeps what was found by execution. For one thread at a time."""

    def __init__(self, surface: str, seeker: Seeker) -> None:
        """Collect for the surface of this name."""
        self._surface = surface
        self.seeker = seeker
        self._hits: dict[int, dict[tuple[str, str, str], Hit]] = {}
        self._unseen: dict[str, dict[str, None]] = {}
        self._partly: dict[str, dict[str, None]] = {}

    def search(self, data: bytes, where: str, program: str = "") -> bool:
        """Look for secrets in `data`, and note them as standing at `where`; give whether there are any.

        `where` and `program` are masked here, and made printable: others choose the names of files and the arguments
        of programs.
        """
        found = self.seeker.find(data) if data else ()
        for each in found:
            self._note(each, where, program)
        return bool(found)

    def add(self, execution_id: int, what: str, where: str, program: str = "") -> None:
        """Note what must not be there whatever it holds, such as a core dump, as an execution's."""
        self._note(Found(execution_id, "(any)", what), where, program)

    def not_looked_at(self, why: str, runtime: str = "") -> None:
        """Say that nothing is seen of this surface, for one runtime or for all, and what to do about it."""
        self._unseen.setdefault(runtime, {})[self._reason(why)] = None

    def partly(self, why: str, runtime: str = "") -> None:
        """Say what was not seen of a surface that was looked at otherwise."""
        self._partly.setdefault(runtime, {})[self._reason(why)] = None

    def rows(self, executions: Sequence[Watched]) -> Iterator[Row]:
        """Give a row for each runtime. A hit is a leak, whatever else was not seen."""
        for runtime in dict.fromkeys(each.runtime for each in executions):
            hits: dict[Hit, None] = {}
            for each in executions:
                if each.runtime == runtime:
                    hits |= dict.fromkeys(self._hits.get(each.execution_id, {}).values())
            unseen = BETWEEN_REASONS.join(self._unseen.get("", {}) | self._unseen.get(runtime, {}))
            partly = BETWEEN_REASONS.join(self._partly.get("", {}) | self._partly.get(runtime, {}))
            why = BETWEEN_REASONS.join(filter(None, (unseen, partly)))
            if hits:
                yield Row(self._surface, runtime, "LEAK", why, tuple(hits))
            else:
                yield Row(self._surface, runtime, "not looked at" if unseen else "clean", why)

    def _note(self, found: Found, where: str, program: str) -> None:
        hits = self._hits.setdefault(found.execution_id, {})
        place = (found.secret, found.variant, self._shown(where))
        # Each look finds it again; the program may be known in one of them only.
        known = hits.get(place)
        if (known is None and len(hits) < _HITS) or (known is not None and program and not known.program):
            hits[place] = Hit(*place, self._shown(program))

    def _reason(self, why: str) -> str:
        return self._shown(why).replace(BETWEEN_REASONS, ", ")

    def _shown(self, text: str) -> str:
        # Masked first: a value is not found any more where a character of it was changed.
        masked = self.seeker.mask(text)
        return one_line(masked, len(masked))
