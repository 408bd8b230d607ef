"""Has a worker outlive the loss of a Redis as broker.

kombu asks a lost channel for a connection in two cases: it closes a channel twice, where a read of the next message was
under way, and the second time gives unacknowledged messages back; and Celery acknowledges a message of the connection
before. The channel has no transport any more, or one without a client: an AttributeError, which Celery does not expect,
and the worker ends.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps

__all__ = ["OutliveLoss"]


class OutliveLoss(bootsteps.StartStopStep):
    """Makes a lost connection of that error, for each channel that the worker consumes by."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        """Look after the channel of a new connection."""
        if parent.connection.transport.driver_type != "redis":
            return
        channel = parent.task_consumer.channel
        parameters = channel._connparams  # noqa: SLF001 - by which each new connection is made

        def connection_parameters(*arguments: Any, **options: Any) -> Any:
            try:
                return parameters(*arguments, **options)
            except AttributeError as error:
                msg = "the channel's connection is lost"
                raise ConnectionError(msg) from error

        channel._connparams = connection_parameters  # noqa: SLF001 - the same
