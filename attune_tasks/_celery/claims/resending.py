"""Sends messages again that a broker has lost on their way to a worker: see :mod:`attune_tasks._celery.noting`.

Whether one is lost can't be known, only whether it must have been received by now. A copy of one that was not lost does
no harm: whoever claims the execution first runs it, and the other message is dropped.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from celery import Celery

from attune_tasks._celery.claims.message import StoredMessage
from attune_tasks._celery.claims.outage import is_outage
from attune_tasks._celery.claims.reaping import publish_again
from attune_tasks._celery.claims.store import ClaimStore, Due, claim_store
from attune_tasks.ids import execution_id_of
from attune_tasks.log_fields import about

__all__ = ["resend_lost"]

logger: Final = logging.getLogger("attune_tasks.claims")


def resend_lost(app: Celery) -> int:
    """Send again what nobody has claimed in time and no queue can hold; give how many. Raises as the clients do."""
    store = claim_store(app)
    if store is None:
        return 0
    sent = 0
    for each in store.unclaimed():
        try:
            if _may_wait(app, store, StoredMessage.from_json(each.message), each.since):
                continue
            logger.warning(
                "execution %s is sent again: its message got lost before a worker had it",
                each.execution_id,
                extra=about(each.execution_id),
            )
            publish_again(app, Due("again", each.execution_id, each.attempt, each.message))
            sent += 1
        except Exception as error:
            if is_outage(error):
                raise
            # A stranger's message may hold anything. It comes up again, later and later.
            logger.error(  # noqa: TRY400
                "execution %s can't be sent again: %s",
                each.execution_id,
                type(error).__name__,
                extra=about(each.execution_id),
            )
    return sent


def _may_wait(app: Celery, store: ClaimStore, message: StoredMessage, since: float) -> bool:
    """Say whether a queue may still hold a message that was queued at `since`, or its broker loses none.

    A list of kombu's Redis transport is first in, first out: where the one that is next was queued later, ours is out.
    """
    with app.producer_pool.acquire(block=True) as producer:
        connection: Any = producer.connection
        if connection.transport.driver_type != "redis":
            return True
        channel: Any = producer.channel
        for queue in _queues(app, message):
            for step in channel.priority_steps:
                found = channel.client.lindex(channel._q_for_pri(queue, step), -1)  # noqa: SLF001
                if found is not None and not _is_later(store, found, since):
                    return True
    return False


def _is_later(store: ClaimStore, found: bytes, since: float) -> bool:
    try:
        task_id = json.loads(found)["headers"]["id"]
        queued = store.queued_since(execution_id_of(task_id))
    except (ValueError, KeyError, TypeError):  # not a task of protocol 2
        return False
    return queued is not None and queued > since


def _queues(app: Celery, message: StoredMessage) -> list[str]:
    """Give the queues that a message went to: by Celery's configuration, for an exchange may have any."""
    if not message.exchange:
        return [message.routing_key]
    return [name for name, queue in app.amqp.queues.items() if queue.exchange.name == message.exchange]
