"""attune_tasks in Django: ``INSTALLED_APPS += ["attune_tasks.contrib.django"]``, settings in ``ATTUNE_TASKS``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from attune_tasks.contrib.django.enqueueing import CommittedHandle, enqueue

__all__ = ["CommittedHandle", "enqueue"]

_HOME: Final = "attune_tasks.contrib.django.enqueueing"


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: Django imports this before its models can be."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOME), name)
