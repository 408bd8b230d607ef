"""What goes wrong on the way to a broker, in words that hold no password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attune_tasks.cli.group import reason_of
from attune_tasks.errors import AttuneTasksError

__all__ = ["asking"]


@contextmanager
def asking(otherwise: str) -> Iterator[None]:
    """Turn an error of the broker, or of the result backend, into an AttuneTasksError that begins with `otherwise`."""
    cause = ""
    try:
        yield
    except AttuneTasksError:
        raise
    except Exception as error:  # noqa: BLE001 - kombu's and the servers' own; their texts may quote a URL
        cause = reason_of(error)
    if not cause:
        return
    msg = f"{otherwise}, for broker or result backend can't be used: {cause}; see `attune-tasks doctor`"
    raise AttuneTasksError(msg)
