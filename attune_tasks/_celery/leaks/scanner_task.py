"""What a scanner is started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from celery import Celery

__all__ = ["ScannerTask"]


@dataclass(frozen=True, slots=True)
class ScannerTask:
    """What a scanner is started with. It holds the app's configuration, and so the broker's password."""

    app: Celery
    address: str
    main_pid: int
    worker: str
    """``name@host``"""
    queue: str
    """By which the check's executions come."""
    own_redis: bool = False
    flower: str | None = None
    vault_audit_log: str | None = None
    file_seconds: float = 30.0
    """For a walk through all files that have changed, at the end."""
    added: Mapping[str, str] = field(default_factory=dict)
    """What makes each surface of a web framework, as ``module:function``, by the surface's name."""
    asks_vault: bool = False
    """Whether the executions get secrets that a provider has, and not canaries alone."""
    runs_ref: bool = False
    """Whether it is an action of the user's that is looked at."""
