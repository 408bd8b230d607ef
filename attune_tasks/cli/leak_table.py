"""What leak-check found, as a table of surfaces and runtimes, and in words below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from attune_tasks.cli.tables import table

if TYPE_CHECKING:
    from attune_tasks.leaks import Row

__all__ = ["told"]

_BETWEEN_REASONS: Final = "; "
"""As in :data:`attune_tasks.leaks.rows.BETWEEN_REASONS`: the command line loads that no sooner than it is needed."""
_SHORT = {"clean": "clean", "LEAK": "LEAK", "not looked at": "-"}


def told(rows: Sequence[Row]) -> Iterator[str]:
    """Give the lines: a table, each leak with its place, and why what was not looked at was not."""
    runtimes = list(dict.fromkeys(row.runtime for row in rows))
    cells = {(row.surface, row.runtime): _SHORT[row.verdict] for row in rows}
    lines = [("SURFACE", *(runtime.upper() for runtime in runtimes))]
    lines += [
        (surface, *(cells.get((surface, runtime), "-") for runtime in runtimes))
        for surface in dict.fromkeys(row.surface for row in rows)
    ]
    yield from table(lines)
    for row in rows:
        for hit in row.hits:
            yield f"LEAK: {row.surface}, {row.runtime}: {hit.secret} ({hit.variant}) in {hit.where}"
            if hit.program:
                yield f"      shown by: {hit.program}"
    yield from _reasons(rows)


def _reasons(rows: Sequence[Row]) -> Iterator[str]:
    """Say each reason once, with the surfaces, and the runtimes where it does not hold for all."""
    runtimes = {row.runtime for row in rows}
    concerned: dict[tuple[str, str, str], dict[str, None]] = {}
    for row in rows:
        what = "not looked at" if row.verdict == "not looked at" else "not seen"
        for why in filter(None, row.why.split(_BETWEEN_REASONS)):
            concerned.setdefault((row.surface, what, why), {})[row.runtime] = None
    reasons: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (surface, what, why), of in concerned.items():
        reasons.setdefault((what, why, tuple(of)), []).append(surface)
    for (what, why, some), surfaces in reasons.items():
        where = "" if set(some) == runtimes else f" ({', '.join(some)})"
        yield f"{', '.join(surfaces)}{where}: {what}: {why}"
