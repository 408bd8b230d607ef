"""What an execution says, as server-sent events: under ASGI alone, where a response that lasts keeps no other waiting.

Django gives each request under ASGI a thread for what is not asynchronous, and with it a connection to the database:
that one is given back after each look, as ``CONN_MAX_AGE`` says.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import StreamingHttpResponse

from attune_tasks.contrib.django.models import Execution
from attune_tasks.contrib.django.output import output_of

__all__ = ["event_stream"]

_QUICK: Final = 0.25
_SLOW: Final = 2.0
_LONGEST: Final = 300.0
"""Seconds, after which the browser asks anew by itself: whoever was signed out meanwhile is seen no later."""


def event_stream(execution: Execution, after: str) -> StreamingHttpResponse:
    """Make the response: each event is what :func:`output_of` gives, its id what to go on with."""
    response = StreamingHttpResponse(_events(execution, after), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep it back
    return response


async def _events(execution: Execution, after: str) -> AsyncIterator[bytes]:
    look = sync_to_async(_look)
    pause = _QUICK
    last: dict[str, Any] = {}
    until = time.monotonic() + _LONGEST
    while time.monotonic() < until:
        told = await look(execution, after)
        after = told["after"]
        news = {name: told[name] for name in ("status", "ended", "error")}
        if told["events"] or news != last:
            yield f"id: {after}\ndata: {json.dumps(told)}\n\n".encode()
            pause = _QUICK
        last = news
        if told["ended"]:
            return
        await asyncio.sleep(pause)
        pause = min(_SLOW, pause * 1.2)
        yield b": still there\n\n"  # by which a browser that is gone is noticed


def _look(execution: Execution, after: str) -> dict[str, Any]:
    try:
        execution.refresh_from_db()
        return output_of(execution, after)
    finally:
        close_old_connections()
