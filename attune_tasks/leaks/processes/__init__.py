"""The surfaces of processes: what /proc, ps, other users and core dumps show of an execution and of its worker."""

from __future__ import annotations

from attune_tasks.leaks.processes.cores import CoreFiles
from attune_tasks.leaks.processes.memories import MemorySurface
from attune_tasks.leaks.processes.ps import PsSurface
from attune_tasks.leaks.processes.tables import Tables
from attune_tasks.leaks.processes.views import ViewSurface
from attune_tasks.leaks.processes.watching import Processes
from attune_tasks.leaks.surface import Seeker, Surface

__all__ = ["process_surfaces"]


def process_surfaces(seeker: Seeker) -> list[Surface]:
    """Give all of them. They share what is looked up per look, so each of them is to look as often as the others."""
    processes = Processes()
    return [
        *Tables(seeker, processes).surfaces,
        PsSurface(seeker),
        MemorySurface("launcher memory", "launcher", seeker, processes),
        MemorySurface("main process memory", "main", seeker, processes),
        ViewSurface("seen by another user", seeker, processes, same=False),
        ViewSurface("seen by the same user", seeker, processes, same=True),
        CoreFiles(seeker, processes),
    ]
