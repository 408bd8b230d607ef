"""The surfaces of what /proc shows in texts: one walk per look, one search per process, and only of what is new."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from typing import Final

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.processes.programs import program_of
from attune_tasks.leaks.processes.texts import KINDS, Piece, Texts, name_of, texts_of
from attune_tasks.leaks.processes.watching import Processes, Seen
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import Seeker, Watched

__all__ = ["Refusals", "Tables", "any_in", "closed_to_us", "search_texts"]

_ANEW: Final = 1.0
"""Seconds after which a text is searched again though it has not changed: values may have become known since."""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,80}")


class Tables:
    """Six surfaces, and what they share."""

    def __init__(self, seeker: Seeker, processes: Processes) -> None:
        """Look at these processes."""
        self._seeker = seeker
        self._processes = processes
        self._searched: dict[int, int] = {}
        self._since = 0.0
        self._seen: list[Seen] | None = None
        self._of: list[tuple[int, int]] = []
        self.surfaces = [_Table(name, self, seeker) for name in KINDS]

    def look(self, asking: _Table, executions: Sequence[Watched]) -> None:
        """Look at everything, if `asking` is the first of the surfaces in this look."""
        seen = self._processes.of(asking, executions)
        if seen is self._seen:
            return
        self._seen = seen
        of = [(execution.execution_id, execution.launcher_pid) for execution in executions]
        now = time.monotonic()
        if now - self._since > _ANEW or of != self._of:
            self._searched.clear()
            self._since, self._of = now, of
        for process in seen:
            self._look_at(process)
        if self._processes.too_many:
            for surface in self.surfaces:
                surface.findings.partly("there were too many processes to look at each of them")

    def look_anew(self, asking: _Table, executions: Sequence[Watched]) -> None:
        """Look at everything, also at what has been searched."""
        self._of = []
        self.look(asking, executions)

    def _look_at(self, process: Seen) -> None:
        texts = texts_of(process.pid)
        for surface in self.surfaces:
            if surface.name in texts:
                surface.refusals.note(process, refused=texts[surface.name] is None)
        joined = b"\0".join(piece.data for pieces in texts.values() for piece in pieces or ())
        signature = hash(joined)
        if self._searched.get(process.pid) == signature:
            return
        self._searched[process.pid] = signature
        if self._seeker.find(joined):
            for surface in self.surfaces:
                search_texts(surface.findings, process.pid, {surface.name: texts.get(surface.name)}, process.part)


class Refusals:
    """Of which runtimes processes could be read, and of which not."""

    def __init__(self) -> None:
        """Begin with none."""
        self._read: set[str] = set()
        self._own: set[str] = set()
        self._refused: dict[str, dict[str, None]] = {}

    def note(self, process: Seen, *, refused: bool) -> None:
        """Note one look at a process."""
        for execution in process.executions:
            if process.role == "action":
                self._own.add(execution.runtime)
            if refused:
                self._refused.setdefault(execution.runtime, {})[process.told] = None
            else:
                self._read.add(execution.runtime)

    def tell(self, findings: Findings, executions: Sequence[Watched]) -> None:
        """Say what could not be read."""
        for runtime in dict.fromkeys(execution.runtime for execution in executions):
            if runtime not in self._own:
                findings.not_looked_at("no process of the action was seen: it ended too soon, or none started", runtime)
            if refused := self._refused.get(runtime):
                why = closed_to_us(refused)
                if runtime in self._read:
                    findings.partly(why, runtime)
                else:
                    findings.not_looked_at(why, runtime)


class _Table:
    """One of the surfaces."""

    def __init__(self, name: str, tables: Tables, seeker: Seeker) -> None:
        self.name = name
        self.findings = Findings(name, seeker)
        self.refusals = Refusals()
        self._tables = tables

    def begin(self) -> None:
        """Nothing listens here."""

    def look(self, executions: Sequence[Watched]) -> None:
        """Look once."""
        self._tables.look(self, executions)

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Look at what is left, and give the rows."""
        self._tables.look_anew(self, executions)
        self.refusals.tell(self.findings, executions)
        return list(self.findings.rows(executions))


def closed_to_us(processes: Iterable[str]) -> str:
    """Say what can't be read; by what it is, not by pids, so that it is one reason for all runtimes."""
    return f"closed to user {os.geteuid()} (undumpable, or another user's): {', '.join(sorted(processes))}: {AS_ROOT}"


def any_in(seeker: Seeker, texts: Texts) -> bool:
    """Say whether there is a secret anywhere in what a process shows: one search instead of many."""
    return bool(seeker.find(b"\0".join(piece.data for pieces in texts.values() for piece in pieces or ())))


def search_texts(findings: Findings, pid: int, texts: Texts, part: str = "") -> bool:
    """Look for secrets in what a process shows, and note each with its place; give whether there were any.

    `part` is what the process is besides its program, such as ``the pool process``.
    """
    program = None
    leaks = False
    for kind, pieces in texts.items():
        found = False
        for piece in pieces or ():
            if kind == "command lines" and not piece.place and found:
                continue  # it is the whole, of which a part was told
            if findings.seeker.find(piece.data):
                found = True
                if program is None:
                    program = program_of(pid, findings.seeker)
                    who = f"{name_of(pid)} (pid {pid}{part and f', {part}'})"
                leaks |= findings.search(piece.data, _where(kind, piece, who, findings.seeker), program)
    return leaks


def _where(kind: str, piece: Piece, who: str, seeker: Seeker) -> str:
    if kind == "environ":
        variable, _, value = piece.data.partition(b"=")
        key = variable.decode(errors="surrogateescape")
        # Only where the value is all behind the first `=`: else the name would be a part of it.
        whole = _VARIABLE.fullmatch(key) and seeker.find(value)
        return f"environ of {who}, {f'variable {key}' if whole else 'a variable'}"
    if kind == "command lines":
        return f"command line of {who}" + (f", argument {piece.place}" if piece.place else "")
    if kind == "process names":
        return f"name of thread {piece.place} of {who}"
    path = piece.data.decode(errors="surrogateescape")
    if kind == "open files":
        return f"descriptor {piece.place} of {who}: {path}"
    if kind == "mapped files":
        return f"a file that {who} has mapped: {path}"
    return f"{piece.place} of {who}: {path}"
