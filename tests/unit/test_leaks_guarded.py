"""A surface that breaks says so, shows no text of its error, and is never clean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from attune_tasks.leaks import Hit, Row, Watched
from attune_tasks.leaks.guarded import Guarded

WATCHED = [Watched(1, "t1", "python"), Watched(2, "t2", "shell")]


class Broken:
    """A surface that raises where it is told to."""

    name = "broken"

    def __init__(self, where: str) -> None:
        """Break in the method `where`."""
        self._where = where
        self.looks = 0

    def begin(self) -> None:
        """Maybe break."""
        self._maybe("begin")

    def look(self, executions: Sequence[Watched]) -> None:  # noqa: ARG002 - as all surfaces
        """Count, and maybe break."""
        self.looks += 1
        self._maybe("look")

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:  # noqa: ARG002 - the same
        """Maybe break, else give one leak."""
        self._maybe("end")
        hit = Hit("canary", "plain", "somewhere")
        return [Row(self.name, "python", "LEAK", "", (hit,)), Row(self.name, "shell", "clean")]

    def _maybe(self, where: str) -> None:
        if where == self._where:
            msg = "a text with a value"
            raise RuntimeError(msg)


@pytest.mark.parametrize(
    ("where", "verdicts", "looks"),
    [
        ("", ["LEAK", "clean"], 2),
        ("begin", ["LEAK", "not looked at"], 0),
        ("look", ["LEAK", "not looked at"], 1),
        ("end", ["not looked at", "not looked at"], 2),
    ],
)
def test_after_a_fault_nothing_is_clean_and_a_leak_still_counts(where: str, verdicts: list[str], looks: int) -> None:
    broken = Broken(where)
    surface = Guarded(broken)
    surface.begin()
    surface.look(WATCHED)
    surface.look(WATCHED)
    rows = list(surface.end(WATCHED))
    assert [row.verdict for row in rows] == verdicts
    assert broken.looks == looks
    assert "value" not in repr(rows)
    assert all("RuntimeError at test_leaks_guarded.py" in row.why for row in rows if row.verdict == "not looked at")
