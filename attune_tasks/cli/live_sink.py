"""Shows what an action says that runs in this process: by a thread, for a terminal may be slow, or stopped."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from attune_tasks.cli.live_view import LiveView
from attune_tasks.quiet_threads import start_quiet_thread

if TYPE_CHECKING:
    from attune_tasks.process import Batch

__all__ = ["ViewSink"]

_INTERVAL_SECONDS: Final = 0.05


class ViewSink:
    """The sink of one execution: see :class:`attune_tasks.process.LiveSink`."""

    interval = _INTERVAL_SECONDS

    def __init__(self, view: LiveView, batch_bytes: int) -> None:
        """Show on `view` what comes; of more than `batch_bytes` at once the middle is left out."""
        self.batch_bytes = batch_bytes
        self._view = view
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def ready(self) -> bool:
        """Say whether the last batch is shown."""
        return self._thread is None or not self._thread.is_alive()

    def send(self, batch: Batch) -> None:
        """Show a batch, beside what this thread does."""
        self._thread = start_quiet_thread(lambda: self._show(batch), "attune-view")

    def finish(self, batch: Batch) -> None:
        """Show the last batch; the action has ended, so there is time."""
        if self._thread is not None:
            self._thread.join()
        self._show(batch)

    def close(self) -> None:
        """End what is shown. Raises the OSError by which a stream would take no more."""
        if self._thread is not None:
            self._thread.join()
        if self._error is None:
            self._view.close()
        else:
            raise self._error

    def _show(self, batch: Batch) -> None:
        if self._error is not None:
            return
        try:
            for piece in batch.pieces:
                self._view.output(piece.stream, piece.text, piece.dropped)
            if batch.progress is not None:
                self._view.progress(batch.progress.percent, batch.progress.message)
        except OSError as error:  # whoever read it has enough; the action goes on
            self._error = error
