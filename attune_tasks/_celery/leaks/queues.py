"""Queues that are there for a check only."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Exchange, Queue

__all__ = ["forget_queue"]


def forget_queue(app: Celery, name: str) -> None:
    """Delete a queue that nobody takes from any more, with its exchange."""
    exchange = Exchange(name, type="direct")
    with app.connection_for_write() as connection, connection.channel() as channel:
        bound: Any = Queue(name, exchange, name)(channel)
        bound.declare()  # so that this connection knows what it deletes
        bound.delete()
        bound.exchange.delete()
