"""What was found: a row for each surface and runtime. It can be shown to anybody: it holds no value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

__all__ = ["BETWEEN_REASONS", "Hit", "Row", "Verdict"]

Verdict = Literal["clean", "LEAK", "not looked at"]

BETWEEN_REASONS: Final = "; "
"""In :attr:`Row.why`; no reason by itself has it."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a secret stood."""

    secret: str
    """Its name."""
    variant: str
    """How it stood there: ``plain``, ``base64``, ``hex``, …"""
    where: str
    """The place, in words that hold no value: ``/proc/71/environ, variable KEY``."""
    program: str = ""
    """The command line of the program that showed it, masked, where there is one."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one surface for one runtime."""

    surface: str
    runtime: str
    """``python``, ``shell``, …"""
    verdict: Verdict
    why: str = ""
    """Why it was not looked at, and what to do about it; else what was not seen of it."""
    hits: tuple[Hit, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return asdict(self) | {"hits": [asdict(hit) for hit in self.hits]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Row:
        """Take up again what :meth:`to_dict` gave. Raises KeyError and TypeError for what is of another form."""
        hits = tuple(Hit(**{name: str(value) for name, value in hit.items()}) for hit in data["hits"])
        return cls(str(data["surface"]), str(data["runtime"]), data["verdict"], str(data["why"]), hits)
