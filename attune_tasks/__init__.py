"""Run actions (scripts with metadata) through Celery, their secrets on standard input.

Importing this loads neither Celery nor pydantic: each name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from attune_tasks._celery.enqueueing import enqueue
    from attune_tasks._celery.handle import Handle
    from attune_tasks._celery.scheduling import schedule
    from attune_tasks.context import ExecutionContext, ExecutionRequest
    from attune_tasks.errors import ActionFailed, AttuneTasksError
    from attune_tasks.result import ExecutionResult

__all__ = [
    "ActionFailed",
    "AttuneTasksError",
    "ExecutionContext",
    "ExecutionRequest",
    "ExecutionResult",
    "Handle",
    "__version__",
    "enqueue",
    "schedule",
]

__version__ = "0.2.0"

_HOMES: Final = {
    "ActionFailed": "attune_tasks.errors",
    "AttuneTasksError": "attune_tasks.errors",
    "ExecutionContext": "attune_tasks.context",
    "ExecutionRequest": "attune_tasks.context",
    "ExecutionResult": "attune_tasks.result",
    "Handle": "attune_tasks._celery.handle",
    "enqueue": "attune_tasks._celery.enqueueing",
    "schedule": "attune_tasks._celery.scheduling",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names before they are loaded, too."""
    return sorted({*globals(), *__all__})
