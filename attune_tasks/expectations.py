"""What was expected where a value was refused, said without the value.

pydantic's own messages may quote the input, which may be a password. These texts are built from the kind of an error
and the constraint behind it only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["expectation"]

_TEXTS: Final = {
    "missing": "is required",
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "mapping_type": "expected a mapping",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "path_type": "expected a path",
    "invalid_key": "expected keys that are text",
    "literal_error": "expected {expected}",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must match {pattern}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "value_error": "{error}",  # from our own validators, whose texts quote no value
}
_SCALARS: Final = {bool: "true or false", int: "a number", float: "a number", type(None): "nothing"}


def expectation(error: Mapping[str, Any]) -> str:
    """Say in a few words what one of pydantic's ``ValidationError.errors()`` asks for; the value is never quoted."""
    kind = error["type"]
    text = _TEXTS.get(kind, f"is not valid ({kind})").format_map(error.get("ctx", {}))
    found = _SCALARS.get(type(error["input"]))
    if kind == "string_type" and found:
        return f"{text}, found {found}: write it in quotes"
    return text
