"""What an execution in a worker says while it runs, written to its stream in shared state.

While it runs, the writer's thread writes a batch at a time. The last one goes with the end of the attempt, in one round
trip, from the execution's own thread, so that it stands there before the result does; where nothing was said, there is
none. A Redis that does not answer costs the execution its live output, and a second at the most.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from celery import Task

from attune_tasks._celery.cancellable import execute_cancellable
from attune_tasks._celery.live_client import GIVE_UP_SECONDS
from attune_tasks._celery.live_events import AttemptEnd, OutputEvent, ProgressEvent, events_of_batch
from attune_tasks._celery.live_stream import LiveStream
from attune_tasks._celery.live_writer import LiveWriter, live_writer
from attune_tasks._celery.per_app import state_of
from attune_tasks._celery.progress_state import ProgressState
from attune_tasks._celery.shared_state import shared_state
from attune_tasks.errors import place_of
from attune_tasks.log_fields import about

if TYPE_CHECKING:
    from attune_tasks.context import ExecutionRequest
    from attune_tasks.executor import ActionExecutor
    from attune_tasks.process import Batch
    from attune_tasks.result import ExecutionResult

__all__ = ["LiveOutput", "execute_live"]

logger: Final = logging.getLogger("attune_tasks.worker")

_INTERVAL_SECONDS: Final = 0.125
"""So that there are at most 10 writes in any second, the last one included."""
_BATCH_BYTES: Final = 1 << 15
"""Of each of two streams."""

_Said = list[OutputEvent | ProgressEvent]


def execute_live(task: Task[Any, Any], executor: ActionExecutor, request: ExecutionRequest) -> ExecutionResult:
    """Run one execution to its end, as ``executor.execute`` does, so that it can be followed and cancelled."""
    live = _live_output(task, request.execution_id)
    if live is None:
        return execute_cancellable(executor, request)
    status = None
    try:
        result = execute_cancellable(executor, request, live)
        status = result.status
        return result
    finally:
        live.close(status)


def _live_output(task: Task[Any, Any], execution_id: int) -> LiveOutput | None:
    settings = state_of(task.app).loaded.settings.live
    request: Any = task.request
    if not settings.enabled or request.is_eager or not request.id:  # whose caller has the result as soon as anybody
        return None
    try:
        state = shared_state(task.app)
        if state is None:
            return None
        stream = LiveStream(task.app, state, execution_id, settings)
        return LiveOutput(execution_id, live_writer(task.app), stream, state.client, ProgressState.of(task))
    except Exception as error:  # noqa: BLE001 - an execution does not fail for this; the text may quote a URL
        logger.warning(
            "execution %s can't be followed: %s at %s",
            execution_id,
            type(error).__name__,
            place_of(error),
            extra=about(execution_id),
        )
        return None


class LiveOutput:
    """The sink of one execution: see :class:`attune_tasks.process.LiveSink`."""

    interval = _INTERVAL_SECONDS
    batch_bytes = _BATCH_BYTES

    def __init__(
        self,
        execution_id: int,
        writer: LiveWriter,
        stream: LiveStream,
        client: Any,
        progress_state: ProgressState | None,
    ) -> None:
        """Write nothing yet. `client` is that of shared state, which is patient."""
        self._execution_id = execution_id
        self._writer = writer
        self._stream = stream
        self._client = client
        self._progress_state = progress_state
        self._lock = threading.Lock()
        """Held while something is written, and changed."""
        self._waiting: _Said | None = None
        """A batch that the thread has not taken up yet."""
        self._busy = False
        """Whether the thread has one to write, or writes it."""
        self._closed = False
        self._rest: _Said = []
        self._lost = 0
        """Bytes that could not be written, all in all."""
        self._lost_unsaid = 0
        """Those of which the stream does not tell yet."""
        self._fault = ""

    def ready(self) -> bool:
        """Say whether the last batch is written, and shared state is there."""
        return not self._busy and self._writer.is_up()

    def send(self, batch: Batch) -> None:
        """Have a batch written soon."""
        self._busy = True
        self._waiting = list(events_of_batch(batch))
        self._writer.soon(self._write_waiting)

    def finish(self, batch: Batch) -> None:
        """Keep the last batch for :meth:`close`."""
        self._rest += events_of_batch(batch)

    def close(self, status: str | None) -> None:
        """Write what is left, and how the attempt ended; nothing is written after this."""
        # Whoever has the lock gives up soon: he connects, and waits for one answer.
        if not self._lock.acquire(timeout=3 * GIVE_UP_SECONDS):
            self._closed = True
            self._lose(self._rest, "TimeoutError")
        else:
            try:
                self._closed = True
                said = (self._waiting or []) + self._rest
                self._waiting = None
                if said or self._stream.has_entries or self._lost:
                    ends = [AttemptEnd(status)] if status is not None else []
                    self._write(said, ends)
            finally:
                self._lock.release()
        if self._lost:
            logger.warning(
                "execution %s: %d bytes of what it said live were dropped, for shared state could not be reached: %s",
                self._execution_id,
                self._lost,
                self._fault,
                extra=about(self._execution_id),
            )

    def _write_waiting(self) -> None:
        """Write the batch that waits; the thread calls this."""
        with self._lock:
            said, self._waiting = self._waiting, None
            if said is not None and not self._closed:
                self._write(said, [])
            self._busy = False

    def _write(self, said: _Said, ends: list[AttemptEnd]) -> None:
        """Write one entry in one round trip; what can't be written is counted. Raises nothing of the client's."""
        if not self._writer.is_up():
            self._lose(said, self._fault or "it did not answer just before")
            return
        try:
            self._send(said, ends)
        except Exception as error:  # noqa: BLE001 - the client's own of many kinds, whose texts may quote a URL
            self._writer.failed()
            self._lose(said, type(error).__name__)

    def _send(self, said: _Said, ends: list[AttemptEnd]) -> None:
        events: list[OutputEvent | ProgressEvent | AttemptEnd] = [*said, *ends]
        if self._lost_unsaid:
            # In front of stdout, for want of a better place: of which stream it was does not matter much.
            events.insert(0, OutputEvent("stdout", "", self._lost_unsaid))
        progress = next((event for event in reversed(said) if isinstance(event, ProgressEvent)), None)
        client = self._writer.client(self._client)
        # A transaction: a server that is lost between the two commands would keep a stream for ever.
        with client.pipeline(transaction=True) as pipeline:
            self._stream.put(pipeline, events)
            elsewhere = None
            if progress is not None and not ends and self._progress_state is not None:
                elsewhere = self._writer.client(self._progress_state.client)
                if elsewhere is client:
                    self._progress_state.put(pipeline, progress)
            answers = pipeline.execute(raise_on_error=False)
        if isinstance(answers[0], Exception):
            raise answers[0]  # its memory is full, say
        self._lost_unsaid = 0
        if elsewhere is not None and elsewhere is not client and self._progress_state and progress:
            with elsewhere.pipeline(transaction=False) as pipeline:
                self._progress_state.put(pipeline, progress)
                pipeline.execute(raise_on_error=False)

    def _lose(self, said: _Said, fault: str) -> None:
        size = sum(len(event.text.encode()) + event.dropped for event in said if isinstance(event, OutputEvent))
        self._lost += size
        self._lost_unsaid += size
        self._fault = fault
