"""What a worker notes of itself, in a file, for who asks whether it gets on."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["NOTE_SECONDS", "HealthNote", "read_note", "write_note"]

NOTE_SECONDS: Final = 2.0
"""How often a worker notes."""
_LARGEST: Final = 65536


@dataclass(frozen=True, slots=True)
class HealthNote:
    """How a worker stands."""

    at: float
    """When, by time.monotonic(), which all processes of a machine share."""
    received: int
    """Messages that it has taken from its queues since its start."""
    started: int
    """Tasks that a slot has begun with."""
    busy: int
    """Slots that are taken."""
    slots: int
    queues: tuple[str, ...]
    """All that it has consumed from since its start."""
    blocking: bool = False
    """Whether it can't note anything while a task runs (the solo pool)."""
    stopping: bool = False
    """Whether it is being stopped, and takes nothing for that reason."""

    @property
    def progress(self) -> tuple[int, int]:
        """What changes whenever it gets on."""
        return self.received, self.started


def write_note(path: Path, note: HealthNote) -> None:
    """Write it, in one step for whoever reads. Raises OSError."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(asdict(note)), encoding="utf-8")
    part.replace(path)


def read_note(path: Path) -> HealthNote | None:
    """Give what stands in the file; None where there is none, or where it is none of ours."""
    try:
        with path.open("rb") as file:
            said: Any = json.loads(file.read(_LARGEST))
        return HealthNote(**{**said, "queues": tuple(map(str, said["queues"]))})
    except (OSError, ValueError, TypeError, KeyError):
        return None
