"""What came of one run of an action with canaries: rows, and a table of them. It holds no value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from attune_tasks.leaks.rows import Row
from attune_tasks.result import ExecutionResult

__all__ = ["LeakReport"]


@dataclass(frozen=True, slots=True, repr=False)
class LeakReport:
    """What was seen of an execution, on each surface. ``str()`` is a table."""

    action_ref: str
    result: ExecutionResult
    """How it ended; with ``***`` wherever a canary stood in any form, also those that masking does not know."""
    rows: tuple[Row, ...]

    @property
    def leaks(self) -> tuple[Row, ...]:
        """The surfaces on which a secret stood."""
        return tuple(row for row in self.rows if row.verdict == "LEAK")

    @property
    def not_looked_at(self) -> tuple[Row, ...]:
        """The surfaces of which nothing was seen, each with its reason."""
        return tuple(row for row in self.rows if row.verdict == "not looked at")

    def assert_clean(self) -> None:
        """Raise AssertionError, with all places, where a secret stood anywhere; or where the action was not run."""
        __tracebackhide__ = True
        if self.result.started_at is None:
            error = self.result.error or {}
            msg = f"{self.action_ref} was not run: {error.get('type')}: {error.get('message')}"
            raise AssertionError(msg)
        if self.leaks:
            msg = "\n".join([f"{self.action_ref} leaks:", *(line for row in self.leaks for line in _lines(row))])
            raise AssertionError(msg)

    def __str__(self) -> str:
        """Give a table of all surfaces."""
        head = f"{self.action_ref}: {self.result.status}"
        return "\n".join([head, *(line for row in self.rows for line in _lines(row))])

    def __repr__(self) -> str:
        """Say what came of it in one line."""
        found = ", ".join(row.surface for row in self.leaks)
        return f"<LeakReport {self.action_ref}: {f'LEAK on {found}' if found else 'clean'}>"


def _lines(row: Row) -> Iterator[str]:
    yield f"  {row.surface:<20} {row.verdict}{f' ({row.why})' if row.why else ''}"
    for hit in row.hits:
        program = f", by: {hit.program}" if hit.program else ""
        yield f"    {hit.secret} ({hit.variant}) in {hit.where}{program}"
