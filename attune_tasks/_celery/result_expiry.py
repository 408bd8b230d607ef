"""How long a result is kept, and with it whatever else is known of an execution that is over."""

from __future__ import annotations

from typing import Any, Final

from celery import Celery

__all__ = ["kept_seconds"]

_WITHOUT_EXPIRY_SECONDS: Final = 7 * 86400


def kept_seconds(app: Celery) -> float:
    """Give the seconds of ``result_expires``; a week where results are kept for ever."""
    expires: Any = app.conf.result_expires
    seconds = expires.total_seconds() if hasattr(expires, "total_seconds") else expires
    return float(seconds or _WITHOUT_EXPIRY_SECONDS)
