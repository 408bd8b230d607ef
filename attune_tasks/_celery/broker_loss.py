"""Has a worker outlive the loss of a Redis as broker.

kombu closes a lost channel twice. The first time may fail before the channel counts as closed, where a read of the next
message was under way; the second time it gives unacknowledged messages back by a transport that has no client any more.
That is an AttributeError, which Celery does not expect, and the worker ends.
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
        qos = parent.task_consumer.channel.qos
        restore = qos.restore_unacked

        def restore_unacked(*arguments: Any, **options: Any) -> Any:
            try:
                return restore(*arguments, **options)
            except AttributeError as error:
                msg = "the connection was lost with messages that were not acknowledged"
                raise ConnectionError(msg) from error

        qos.restore_unacked = restore_unacked
