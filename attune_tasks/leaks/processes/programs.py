"""Naming a program to people, without its secrets."""

from __future__ import annotations

from attune_tasks.leaks.processes.texts import arguments_of
from attune_tasks.leaks.shown_command import shown_command
from attune_tasks.leaks.surface import Seeker

__all__ = ["program_of"]


def program_of(pid: int, seeker: Seeker) -> str:
    """Give a process's command line, masked and of a bounded length; nothing where it has ended."""
    return shown_command(arguments_of(pid), seeker)
