"""What all surfaces of Celery have: findings that several threads may add to, and threads of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from attune_tasks._celery.leaks.in_time import in_time, say
from attune_tasks._celery.leaks.readings import readings
from attune_tasks.leaks import Findings, Row, Seeker, Watched
from attune_tasks.quiet_threads import start_quiet_thread

__all__ = ["CelerySurface", "ListeningSurface", "RoundsSurface"]

_START_SECONDS: Final = 3.0
_STOP_SECONDS: Final = 3.0
_BETWEEN_ROUNDS: Final = 0.4
_LAST_ROUND_SECONDS: Final = 12.0


class CelerySurface:
    """A surface of which nothing is looked at by itself."""

    def __init__(self, name: str, seeker: Seeker) -> None:
        """Find nothing yet."""
        self.name = name
        self._findings = Findings(name, seeker)
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Start nothing."""

    def look(self, executions: Sequence[Watched]) -> None:
        """Look at nothing."""

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Give the rows."""
        with self._lock:
            return list(self._findings.rows(executions))

    def _search(self, data: bytes | str, where: str) -> bool:
        """Search a text and all that it says in other words; give whether a secret is in it. For any thread."""
        raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        has_any = False
        for reading in readings(raw):
            with self._lock:
                has_any = self._findings.search(reading, where) or has_any
        return has_any

    def _not_looked_at(self, why: str, runtime: str = "") -> None:
        with self._lock:
            self._findings.not_looked_at(why, runtime)

    def _partly(self, why: str, runtime: str = "") -> None:
        with self._lock:
            self._findings.partly(why, runtime)


class ListeningSurface(CelerySurface):
    """A surface that is listened to by threads, one for each way to hear of it."""

    def __init__(self, name: str, seeker: Seeker) -> None:
        """Listen to nothing yet."""
        super().__init__(name, seeker)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Let the threads hear the rest, and end them."""
        self._stopping.set()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._partly("the end of what was said was not waited for: it took too long")
        return super().end(executions)

    def _is_listening(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _say_that_the_end_is_missing(self, *, is_too_much: bool) -> None:
        if is_too_much:
            self._partly("there was more than is searched")
        else:
            self._not_looked_at("the server did not answer any more, so not all of it was heard")

    def _listen(self, work: Callable[[Callable[[], None]], None], what: str) -> None:
        """Run `work` in a thread until :attr:`_stopping`; it calls what it is given when it hears everything."""
        ready = threading.Event()

        def listen() -> None:
            try:
                work(ready.set)
            except Exception as error:  # noqa: BLE001 - whatever a client raises: its text may quote the URL
                self._not_looked_at(f"{what} can't be listened to ({say(error)})")
            finally:
                ready.set()

        thread = start_quiet_thread(listen, f"attune-leaks-{self.name}")
        if ready.wait(_START_SECONDS):
            self._threads.append(thread)
        else:  # nor is it waited for at the end
            self._not_looked_at(f"{what} did not answer in {_START_SECONDS:g} seconds")


class RoundsSurface(CelerySurface):
    """A surface that is asked by a thread, again and again while something runs: the answers take their time."""

    def __init__(self, name: str, seeker: Seeker) -> None:
        """Ask nothing yet."""
        super().__init__(name, seeker)
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._executions: Sequence[Watched] = ()
        self._thread: threading.Thread | None = None

    def _start_rounds(self) -> None:
        self._thread = start_quiet_thread(self._rounds, f"attune-leaks-{self.name}")

    def look(self, executions: Sequence[Watched]) -> None:
        """Ask for a round, unless one is going on."""
        self._executions = tuple(executions)
        self._wanted.set()

    def _end_rounds(self) -> bool:
        """End the thread; give whether it has ended, so that there may be another look."""
        self._stopping.set()
        self._wanted.set()
        if self._thread is None:
            return True
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            self._partly(f"no answer came within {_STOP_SECONDS:g} seconds")
        return not self._thread.is_alive()

    def _rounds(self) -> None:
        while self._wanted.wait() and not self._stopping.is_set():
            self._wanted.clear()
            self._safe_round(self._executions)
            self._stopping.wait(_BETWEEN_ROUNDS)

    def _last_round(self, executions: Sequence[Watched]) -> None:
        """Look once more, after the thread's last round."""
        try:
            in_time(lambda: self._safe_round(executions), _LAST_ROUND_SECONDS)
        except TimeoutError:
            self._partly(f"the last look took more than {_LAST_ROUND_SECONDS:g} seconds")

    def _safe_round(self, executions: Sequence[Watched]) -> None:
        try:
            self._round(executions)
        except Exception as error:  # noqa: BLE001 - whatever a client raises; the next round may have an answer
            self._partly(f"a look failed ({say(error)})")

    def _round(self, executions: Sequence[Watched]) -> None:
        raise NotImplementedError
