"""Values as JSON has them: copied, checked, and filled with a schema's defaults."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["copy_json", "fill_defaults"]

_MAX_DEPTH: Final = 64

_Path = tuple[str | int, ...]


def copy_json(value: Any, say: Callable[[_Path, str], None], path: _Path = ()) -> Any:
    """Copy `value` deeply; what JSON can't hold goes to `say`, by where it stands and never by what it is."""
    if len(path) > _MAX_DEPTH:
        say(path[:1], f"is nested deeper than {_MAX_DEPTH} levels")
        return None
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        say(path, "holds a lone surrogate, which is not text")
        return None
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        if all(isinstance(name, str) for name in value):
            return {name: copy_json(item, say, (*path, name)) for name, item in value.items()}
        say(path, "has names that are not text")
    elif isinstance(value, (list, tuple)):
        return [copy_json(item, say, (*path, index)) for index, item in enumerate(value)]
    else:
        kind = "a number that is not finite" if isinstance(value, float) else type(value).__name__
        say(path, f"expected a JSON value, found {kind}")
    return None


def fill_defaults(value: Any, schema: Any) -> None:
    """Put the defaults of `schema` where `value` has no such name, in place; references are not followed."""
    if not isinstance(schema, Mapping):
        return
    properties = schema.get("properties")
    if isinstance(value, dict) and isinstance(properties, Mapping):
        for name, entry in properties.items():
            if name not in value and isinstance(entry, Mapping) and "default" in entry:
                value[name] = copy.deepcopy(entry["default"])
            if name in value:
                fill_defaults(value[name], entry)
    elif isinstance(value, list):
        for item in value:
            fill_defaults(item, schema.get("items"))
