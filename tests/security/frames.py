"""Looks at errors as error reporters do: the variables of each frame, their items, and the attributes of each."""

from __future__ import annotations

import pprint
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any

__all__ = ["shown_by", "shown_in_frames"]


def shown_in_frames(error: BaseException | None, module: str = "attune_tasks") -> dict[str, str]:
    """Give what a report of `error` would show of the frames of `module`, by place; causes and contexts included."""
    shown: dict[str, str] = {}
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        shown[f"text of {type(each).__name__}"] = repr(each) + str(each) + repr(each.args)
        left += [each.__cause__, each.__context__]
        for place, value in _variables(each.__traceback__, module):
            for way, text in shown_by(value):
                shown[f"{place} {way}"] = text
    return shown


def _variables(traceback: TracebackType | None, module: str) -> Iterator[tuple[str, Any]]:
    while traceback is not None:
        frame = traceback.tb_frame
        if str(frame.f_globals.get("__name__", "")).startswith(module):
            for name, value in frame.f_locals.items():
                yield f"{frame.f_code.co_filename}:{traceback.tb_lineno} {frame.f_code.co_name} {name}", value
        traceback = traceback.tb_next


def shown_by(value: Any) -> Iterator[tuple[str, str]]:
    """Give what is shown of a value: its repr, pprint's, its items, and the repr of each attribute."""
    yield "repr", repr(value)
    yield "str", str(value)
    yield "pprint", pprint.pformat(value)
    if isinstance(value, Mapping):  # what Sentry's and Rollbar's clients go through item by item
        yield "items", repr(list(value.items()))
    elif isinstance(value, list | tuple | AbstractSet):
        yield "items", repr(list(value))
    for name in _attributes(value):
        try:
            attribute = getattr(value, name)
        except Exception:  # noqa: BLE001, S112 - as a reporter goes on
            continue
        if not callable(attribute):
            yield f".{name}", repr(attribute)
            if isinstance(attribute, Mapping):
                yield f".{name} items", repr(list(attribute.items()))


def _attributes(value: Any) -> Iterator[str]:
    if isinstance(value, type) or type(value).__module__ == "builtins":
        return
    yield from getattr(value, "__dict__", {})
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots
