"""What is wrong with a value, said from the schema's side.

jsonschema's own messages quote the value, which someone may have taken for a secret. These texts hold the keyword,
what it expects (the pack's author wrote that) and where; of the value, names only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from attune_tasks.nearest import did_you_mean
from attune_tasks.packs.schema_source import subschemas

if TYPE_CHECKING:  # jsonschema is loaded when a schema is compiled
    from jsonschema import ValidationError

__all__ = ["path_text", "problems_of"]

Problem = tuple[tuple[str | int, ...], str]

_LONGEST_NAME: Final = 60
_LONGEST_EXPECTED: Final = 200
_TEXTS: Final = {
    "const": "expected {}",
    "minimum": "must be {} or more",
    "maximum": "must be {} or less",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have {} characters or more",
    "maxLength": "must have {} characters or fewer",
    "pattern": "must match {}",
    "format": "expected the format {}",
    "minItems": "must have {} items or more",
    "maxItems": "must have {} items or fewer",
    "uniqueItems": "must not have an item twice",
    "minProperties": "must have {} names or more",
    "maxProperties": "must have {} names or fewer",
    "anyOf": "fits none of the forms in anyOf",
    "oneOf": "must fit exactly one of the forms in oneOf",
    "not": "has a form that the schema rules out",
    "contains": "has too few or too many of the items that the schema asks for",
}


def problems_of(errors: Iterable[ValidationError], more_names: Iterable[str] = ()) -> Iterator[Problem]:
    """Give (path, text) for each error; `more_names` are names known at the top beside the schema's."""
    for error in errors:
        path = tuple(error.absolute_path)
        instance: Any = error.instance
        if error.validator in {"additionalProperties", "unevaluatedProperties"} and error.validator_value is False:
            known = {*_names(error.schema), *(() if path else more_names)}
            for name in _unknown(error):
                yield (*path, name), f"is not known{did_you_mean(name, known)}"
        elif error.validator == "required":
            required: Any = error.validator_value
            for name in required:
                if name not in instance:
                    yield (*path, name), "is required"
        else:
            yield path, _text(str(error.validator), error.validator_value)


def path_text(path: Iterable[str | int]) -> str:
    """Write keys and indexes as ``a.b[0]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_name(part)}" for part in path)
    return text.removeprefix(".")


def _text(keyword: str, expected: Any) -> str:
    if keyword == "type":
        return f"expected {' or '.join([expected] if isinstance(expected, str) else expected)}"
    if keyword == "enum":
        return _shortened(f"expected one of {', '.join(map(repr, expected))}")
    return _shortened(_TEXTS.get(keyword, f"does not satisfy {keyword}").format(repr(expected)))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_EXPECTED else f"{text[:_LONGEST_EXPECTED]}…"


def _name(name: str) -> str:
    return (name if name and name.isprintable() else repr(name))[:_LONGEST_NAME]


def _names(schema: Any) -> set[str]:
    """All names that a schema knows, its composed parts included."""
    nested = (part.get("properties") for _, part in subschemas(schema) if isinstance(part, Mapping))
    return {name for properties in nested if isinstance(properties, Mapping) for name in properties}


def _unknown(error: ValidationError) -> list[str]:
    schema: Any = error.schema
    instance: Any = error.instance
    own = schema.get("properties", {}) if error.validator == "additionalProperties" else _names(schema)
    patterns = schema.get("patternProperties", {})
    unknown = [name for name in instance if name not in own and not any(re.search(each, name) for each in patterns)]
    return unknown or list(instance)
