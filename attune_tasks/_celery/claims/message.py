"""A task message as a claim keeps it: all that is needed to publish it again, or to end it in its place."""

from __future__ import annotations

import base64
import json as plain_json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from celery import Celery
from celery.app.task import Context
from kombu.serialization import loads, prepare_accept_content
from kombu.utils import json

__all__ = ["StoredMessage"]


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of Celery's protocol 2, as the broker has it: its signature stays right."""

    headers: Mapping[str, Any]
    body: str
    """In base64 where it is no UTF-8."""
    is_base64: bool
    content_type: str
    content_encoding: str
    exchange: str
    routing_key: str
    reply_to: str | None
    correlation_id: str | None
    priority: int | None

    @classmethod
    def of(cls, request: Any) -> Self | None:
        """Take it from a worker's request; None for one of protocol 1, which can't be published again."""
        message = request.message
        if not isinstance(message.headers, dict) or "task" not in message.headers:
            return None
        info = request.delivery_info
        return cls.made(
            headers=message.headers,
            body=message.body if isinstance(message.body, bytes) else str(message.body).encode(),
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            exchange=info.get("exchange") or "",
            routing_key=info.get("routing_key") or "",
            reply_to=request.reply_to,
            correlation_id=request.correlation_id,
            priority=info.get("priority"),
        )

    @classmethod
    def made(cls, *, body: bytes, **parts: Any) -> Self:
        """Make one of the raw bytes of a body; `parts` are the other fields."""
        try:
            text, is_base64 = body.decode(), False
        except UnicodeDecodeError:
            text, is_base64 = base64.b64encode(body).decode(), True
        return cls(body=text, is_base64=is_base64, **parts)

    def to_json(self) -> str:
        """Write it down."""
        values = {name: getattr(self, name) for name in self.__slots__}
        try:
            return plain_json.dumps(values, separators=(",", ":"))
        except TypeError:  # a broker's own headers may hold times, which kombu's can write, more slowly
            return str(json.dumps(values, separators=(",", ":")))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote. Raises ValueError or TypeError for anything else."""
        return cls(**json.loads(text))

    @property
    def task_id(self) -> str:
        """The task's id."""
        return str(self.headers["id"])

    def publish(self, app: Celery, attempt: int) -> None:
        """Send it once more, for attempt `attempt`. Raises what the broker's client raises.

        Not through Celery's ``send_task``: nothing of it is to change but the number of the attempt.
        """
        headers = {**self.headers, "retries": attempt - 1}
        if attempt - 1 != (self.headers.get("retries") or 0):
            headers["eta"] = None  # which was the first attempt's
        headers.pop("compression", None)  # the body came unpacked
        with app.producer_pool.acquire(block=True) as producer:
            producer.publish(
                self._raw_body(),
                exchange=self.exchange,
                routing_key=self.routing_key,
                headers=headers,
                content_type=self.content_type,
                content_encoding=self.content_encoding,
                reply_to=self.reply_to,
                correlation_id=self.correlation_id,
                priority=self.priority,  # type: ignore[arg-type]  # None: none
                retry=True,
                retry_policy=app.conf.task_publish_retry_policy,
            )

    def context(self, app: Celery) -> Context:
        """Give the request as Celery's result backends want it: with callbacks, chain and chord."""
        args, kwargs, afterwards = loads(
            self._raw_body(),
            self.content_type,
            self.content_encoding,
            accept=prepare_accept_content(app.conf.accept_content),
        )
        return Context(
            dict(self.headers),
            args=args,
            kwargs=kwargs,
            reply_to=self.reply_to,
            correlation_id=self.correlation_id,
            delivery_info={"exchange": self.exchange, "routing_key": self.routing_key, "priority": self.priority},
            **(afterwards or {}),
        )

    def _raw_body(self) -> bytes | str:
        return base64.b64decode(self.body) if self.is_base64 else self.body
