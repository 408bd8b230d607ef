"""The surfaces of what others on the machine can read: a user who has nothing to do with it, and the action's own."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from attune_tasks.leaks.as_root import AS_ROOT
from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.processes.reading_as import Itself, OtherUser, ReaderError, Reads
from attune_tasks.leaks.processes.tables import any_in, search_texts
from attune_tasks.leaks.processes.texts import User, user_of
from attune_tasks.leaks.processes.watching import Processes, Seen
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import Seeker, Watched

__all__ = ["ViewSurface"]

_BETWEEN: Final = 0.4
"""Seconds between two looks."""
_READERS: Final = 5
"""Started for one user, after which it is given up: an action of that user may end them."""
_NOBODY: Final = 65534


class ViewSurface:
    """Reads the processes as another user."""

    def __init__(self, name: str, seeker: Seeker, processes: Processes, *, same: bool) -> None:
        """Read as the action's own user where `same`, else as ``nobody``."""
        self.name = name
        self._same = same
        self._findings = Findings(name, seeker)
        self._processes = processes
        self._readers: dict[User, Reads] = {}
        self._started: dict[User, int] = {}
        self._looked_through: set[tuple[int, User]] = set()
        self._users: dict[int, User] = {}
        self._seen: set[str] = set()
        self._of: list[int] = []
        self._next = 0.0

    def begin(self) -> None:
        """Say what can't be seen from here."""
        if not self._same and os.geteuid():
            self._findings.not_looked_at(f"only root can become another user: {AS_ROOT}")

    def look(self, executions: Sequence[Watched]) -> None:
        """Look once, if the last look is long enough ago."""
        seen = self._processes.of(self, executions)
        of = [execution.execution_id for execution in executions]
        if of != self._of:
            self._of = of
            self._looked_through.clear()
        if time.monotonic() >= self._next:
            self._look(seen)
            self._next = time.monotonic() + _BETWEEN

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Look at what is left, and give the rows."""
        self._looked_through.clear()
        self._look(self._processes.of(self, executions))
        for reader in self._readers.values():
            reader.close()
        for runtime in dict.fromkeys(execution.runtime for execution in executions):
            if runtime not in self._seen and (self._same or not os.geteuid()):
                self._findings.not_looked_at("no process was read: it ended too soon, or none started", runtime)
        return list(self._findings.rows(executions))

    def _look(self, seen: Sequence[Seen]) -> None:
        if not self._same and os.geteuid():
            return
        for process in seen:
            if process.role in {"launcher", "action"}:
                user = user_of(process.pid)
                if user is not None:
                    for execution in process.executions:
                        self._users.setdefault(execution.execution_id, user)
        for process in seen:
            runtimes: dict[User, set[str]] = {}
            for execution in process.executions:
                user = self._who_reads(execution)
                if user is not None:
                    runtimes.setdefault(user, set()).add(execution.runtime)
            for user, of in runtimes.items():
                self._read(process, user, of)

    def _who_reads(self, execution: Watched) -> User | None:
        user = self._users.get(execution.execution_id)
        if self._same:
            return user
        # One who has nothing to do with it, also where actions run as nobody.
        nobody = _nobody()
        taken = user is not None and user.uid == nobody.uid
        return User(nobody.uid - 1, nobody.gid - 1) if taken else nobody

    def _read(self, process: Seen, user: User, runtimes: set[str]) -> None:
        reads = self._reader(user, runtimes)
        if reads is None:
            return
        try:
            texts = reads.texts_of(process.pid)
            if any_in(self._findings.seeker, texts):
                search_texts(self._findings, process.pid, texts, process.part)
            self._seen |= runtimes
            if self._same and user.uid == 0:
                self._tell(
                    self._findings.not_looked_at,
                    "the action's user is root, who reads all memory: set run_as, or start the worker as another user",
                    runtimes,
                )
            elif self._same and process.role in {"action", "other"}:
                self._tell(
                    self._findings.partly,
                    "the memory of the action's own processes is left out: it holds the secrets, and where they are"
                    " started by exec their user may read it",
                    runtimes,
                )
            else:
                self._read_memory(reads, process, user, runtimes)
        except ReaderError as error:
            self._tell(self._findings.partly, f"as {user}: {error}", runtimes)
            self._readers.pop(user).close()

    def _read_memory(self, reads: Reads, process: Seen, user: User, runtimes: set[str]) -> None:
        if (process.pid, user) in self._looked_through:
            return
        self._looked_through.add((process.pid, user))
        whole = False
        for frame in reads.memory_of(process.pid):
            if frame == b"":
                whole = True
            elif not whole:
                self._findings.search(frame, f"memory of {process}")
            elif frame == b"cut":
                told = f"not all memory of {process} was looked at, and it can be read"
                self._tell(self._findings.partly, told, runtimes)

    def _reader(self, user: User, runtimes: set[str]) -> Reads | None:
        if user in self._readers:
            return self._readers[user]
        if user.uid == os.geteuid():
            self._readers[user] = Itself()
        elif os.geteuid():
            told = f"only root can become {user}: {AS_ROOT}"
            self._tell(self._findings.not_looked_at, told, runtimes)
        elif self._started.get(user, 0) < _READERS:
            self._started[user] = self._started.get(user, 0) + 1
            try:
                self._readers[user] = OtherUser(user)
            except OSError as error:
                told = f"no process of {user} could be started: {error.strerror}"
                self._tell(self._findings.partly, told, runtimes)
        return self._readers.get(user)

    def _tell(self, tell: Callable[[str, str], None], what: str, runtimes: set[str]) -> None:
        for runtime in runtimes:
            tell(what, runtime)


def _nobody() -> User:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return User(_NOBODY, _NOBODY)
    return User(entry.pw_uid, entry.pw_gid)
