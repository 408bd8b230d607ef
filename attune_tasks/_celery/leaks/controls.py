"""Which leak made on purpose each surface of Celery must find, and how it is sent.

What is printed or returned shows on some surfaces. By design nothing of an action's secrets comes near the others: the
broker, events, the log. There the value is in the message itself, as a parameter or as the task's name: so it is the
sender that leaks it, and the seeker is told of it as that execution's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from celery import Celery

from attune_tasks._celery.embedded import EMBEDDED_DRIVER
from attune_tasks._celery.leaks.redis_places import broker_driver
from attune_tasks.ids import new_execution_id, task_id_of

__all__ = ["CONTROLS", "VALUE_NAME", "Control", "SentControl", "remove_parked", "send_control"]

VALUE_NAME: Final = "canary_short"
"""By which name the seeker is told of a value that is sent."""
_TASK: Final = "attune_tasks.run_action"
_PARKED: Final = "attune-leak-check-parked"
"""A queue that nobody takes from. Its messages expire."""


@dataclass(frozen=True, slots=True)
class Control:
    """A leak that a surface must find."""

    surface: str
    action: str
    how: Literal["secret", "parameter", "waiting parameter", "name"]
    """How the value gets there. ``secret``: the action has it as its secret ``canary_short``, and leaks it. Else it is
    sent: as the action's parameter ``text``; so, in a message that waits for some seconds; as the task's name, which
    Celery calls `shadow`."""
    fails: bool = False
    """Whether the execution fails, as it should."""


CONTROLS: Final = (
    Control("broker keys", "leak_controls.parameter", "waiting parameter"),
    Control("backend keys", "leak_controls.reversed_output", "secret"),
    Control("pub/sub", "leak_controls.reversed_output", "secret"),
    Control("commands (MONITOR)", "leak_controls.parameter", "parameter"),
    Control("events", "leak_controls.parameter", "name"),
    Control("inspect", "leak_controls.parameter", "parameter"),
    Control("result", "leak_controls.reversed_output", "secret"),
    Control("error and traceback", "leak_controls.reversed_error", "secret", fails=True),
    Control("live stream", "leak_controls.reversed_output", "secret"),
    Control("live stream", "leak_controls.reversed_progress", "secret"),
    Control("log", "leak_controls.parameter", "name"),
    Control("Flower", "leak_controls.reversed_error", "secret", fails=True),
    Control("Flower", "leak_controls.parameter", "name"),
)


class SentControl(NamedTuple):
    """A control that was sent."""

    task_id: str
    execution_id: int
    runs: bool
    """Whether a worker runs it; else it only waits, until :func:`remove_parked`."""


def send_control(  # noqa: PLR0913 - what leaks, whose it is, and the way it goes
    app: Celery,
    control: Control,
    value: str,
    tell: Callable[[int, Mapping[str, str]], None],
    *,
    seconds: int = 2,
    queue: str | None = None,
) -> SentControl:
    """Send a control; `value` is what leaks, where its `how` is another than ``secret``.

    The execution runs for `seconds`, or waits for as long first. `tell` is told of the value before it is sent, as
    :meth:`ValueSeeker.add` is: of the execution, and of its secrets by name.
    Raises what Celery's ``apply_async`` raises, and UnknownActionError where the pack is not known here.
    """
    import attune_tasks.tasks  # noqa: F401 - registers the task

    execution_id = new_execution_id()
    options: dict[str, Any] = {"task_id": task_id_of(execution_id)} | ({"queue": queue} if queue else {})
    parameters: dict[str, Any] = {"seconds": seconds}
    runs = True
    if control.how != "secret":
        tell(execution_id, {VALUE_NAME: value})
        parameters["text"] = value if "parameter" in control.how else "nothing"
    if control.how == "name":
        options["shadow"] = value
    if control.how == "waiting parameter":
        if broker_driver(app) == EMBEDDED_DRIVER:
            # A worker keeps what it has taken in its memory, whatever its countdown is.
            options |= {"queue": _PARKED, "expires": seconds + 60}
            runs = False
        else:
            parameters["seconds"] = 0
            options["countdown"] = seconds
    sent = app.tasks[_TASK].apply_async((control.action, parameters), **options)
    return SentControl(sent.id, execution_id, runs)


def remove_parked(app: Celery) -> None:
    """Delete the queue of controls that no worker was to take."""
    with app.connection_for_write() as connection, suppress(*connection.channel_errors):
        channel: Any = connection.default_channel
        channel.queue_delete(_PARKED)
