"""What leak-check found, as a table of surfaces and runtimes, and in words below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attune_tasks.cli.tables import table

if TYPE_CHECKING:
    from attune_tasks.leaks import Row

__all__ = ["told"]

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
    """Say each reason once for a surface, with the runtimes where it does not hold for all."""
    runtimes = {row.runtime for row in rows}
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.why:
            what = "not looked at" if row.verdict == "not looked at" else "not seen"
            reasons.setdefault((row.surface, what, row.why), []).append(row.runtime)
    for (surface, what, why), concerned in reasons.items():
        of = "" if set(concerned) == runtimes else f" ({', '.join(concerned)})"
        yield f"{surface}{of}: {what}: {why}"
