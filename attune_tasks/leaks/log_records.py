"""The surface of log records made in this process while an execution runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from attune_tasks.leaks.findings import Findings
from attune_tasks.leaks.rows import Row
from attune_tasks.leaks.surface import Seeker, Watched

__all__ = ["LogRecords"]

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({})))


class LogRecords:
    """Looks at every record that reaches the root logger, at DEBUG, before any other handler of it does.

    A record that holds a secret is masked: the others may print it.
    """

    name = "log records"

    def __init__(self, seeker: Seeker) -> None:
        """Listen to nothing yet."""
        self._handler = _Handler(self.emit)
        self._findings = Findings(self.name, seeker)
        self._seeking = threading.Lock()
        self._level = logging.NOTSET

    def begin(self) -> None:
        """Listen."""
        root = logging.getLogger()
        self._level = root.level
        root.setLevel(min(logging.DEBUG, self._level))
        root.handlers.insert(0, self._handler)

    def look(self, executions: Sequence[Watched]) -> None:
        """Do nothing: records come by themselves."""

    def end(self, executions: Sequence[Watched]) -> Iterable[Row]:
        """Listen no more, and give the rows."""
        self.stop()
        return self._findings.rows(executions)

    def stop(self) -> None:
        """Listen no more."""
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.removeHandler(self._handler)
            root.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one record."""
        with self._seeking:
            text = _text_of(record)
            where = f"a record of the logger {record.name} ({record.pathname}:{record.lineno})"
            if self._findings.search(text.encode(errors="surrogateescape"), where):
                mask = self._findings.seeker.mask
                record.msg, record.args = mask(_message_of(record)), None
                record.exc_info = record.exc_text = record.stack_info = None
                for name in vars(record).keys() - _STANDARD:
                    setattr(record, name, "***")


class _Handler(logging.Handler):
    def __init__(self, look_at: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.DEBUG)
        self._look_at = look_at

    def emit(self, record: logging.LogRecord) -> None:
        self._look_at(record)


def _text_of(record: logging.LogRecord) -> str:
    """Give all that a formatter could make of a record."""
    more = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    error = logging.Formatter().formatException(record.exc_info) if record.exc_info else record.exc_text or ""
    return "\n".join([_message_of(record), str(record.args), error, record.stack_info or "", str(more)])


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit are for its own handlers to complain of
        return f"{record.msg} {record.args}"
