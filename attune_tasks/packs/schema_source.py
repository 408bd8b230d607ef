"""``parameters:`` of an action, as a JSON Schema (draft 2020-12) with the secret parameters taken out.

Read are a JSON Schema of an object, and the flat form of StackStorm's and Attune's packs: name to schema, with
``required: true`` and ``secret: true`` inside.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from attune_tasks.errors import InvalidSecretError
from attune_tasks.wire import check_secret_name
from attune_tasks.wire_names import parameter_variable

__all__ = ["Say", "SecretParameter", "close", "is_json_schema", "normalise", "subschemas"]

Say = Callable[[tuple[str | int, ...], str], None]
"""Takes one fault: the keys that lead to it, and what was expected there."""

_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_SINGLE: Final = frozenset(
    {"additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains", "propertyNames"}
    | {"not", "if", "then", "else", "contentSchema"}
)
_LISTED: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_TOP_PROPERTY_DEPTH: Final = 2  # ("properties", name)


@dataclass(frozen=True, slots=True)
class SecretParameter:
    """A parameter marked ``secret: true``: its value is one of the references in `allow`."""

    name: str
    allow: tuple[str, ...]
    required: bool
    default: str | None


def is_json_schema(spec: Mapping[str, Any]) -> bool:
    """Tell a JSON Schema of an object from the flat form."""
    if spec.get("type") == "object" or isinstance(spec.get("$schema"), str):
        return True
    mappings = [key for key, value in spec.items() if isinstance(value, Mapping)]
    return mappings == ["properties"]


def normalise(spec: Mapping[str, Any], say: Say) -> tuple[dict[str, Any], dict[str, SecretParameter]]:
    """Give the JSON Schema of the public parameters, and the secret ones by name.

    Faults go to `say`, with the keys that lead to them in the JSON Schema's form.
    """
    schema: dict[str, Any] = copy.deepcopy(dict(spec) if is_json_schema(spec) else {"properties": dict(spec)})
    properties = schema.setdefault("properties", {})
    if schema.setdefault("type", "object") != "object":
        say(("type",), "expected object")
    if not isinstance(properties, dict):
        say(("properties",), "expected a mapping")
        return schema, {}
    for name, entry in properties.items():
        if entry is None:
            properties[name] = {}
        elif not isinstance(entry, dict):
            say(("properties", name), "expected a mapping")
    for key, subschema in subschemas(schema):
        _hoist_required(subschema)
        _check_keywords(key, subschema, say)
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    secrets: dict[str, SecretParameter] = {}
    for name, entry in list(properties.items()):
        if isinstance(entry, dict) and _is_secret(name, entry, say):
            secrets[name] = _secret_parameter(name, entry, required=name in required, say=say)
            del properties[name]
    if required:
        schema["required"] = [name for name in required if name not in secrets]
    _check_variables(properties, say)
    return schema, secrets


def close(schema: dict[str, Any]) -> None:
    """Refuse parameters that the schema does not name, unless it says itself what becomes of them."""
    if "additionalProperties" in schema or "unevaluatedProperties" in schema:
        return
    composed = schema.keys() & {"allOf", "anyOf", "oneOf", "if", "then", "else", "$ref", "dependentSchemas"}
    schema["unevaluatedProperties" if composed else "additionalProperties"] = False


def subschemas(schema: dict[str, Any], key: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Go through a schema and every schema in it, each with the keys that lead to it, outer ones first."""
    yield key, schema
    for keyword, value in list(schema.items()):
        inner: list[tuple[tuple[str | int, ...], Any]] = []
        if keyword in _NAMED and isinstance(value, dict):
            inner = [((*key, keyword, name), item) for name, item in value.items()]
        elif keyword in _LISTED and isinstance(value, list):
            inner = [((*key, keyword, index), item) for index, item in enumerate(value)]
        elif keyword in _SINGLE:
            inner = [((*key, keyword), value)]
        for inner_key, item in inner:
            if isinstance(item, dict):
                yield from subschemas(item, inner_key)


def _hoist_required(schema: dict[str, Any]) -> None:
    properties = schema.get("properties")
    required = schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return
    flagged = {
        name: entry.pop("required")
        for name, entry in properties.items()
        if isinstance(entry, dict) and isinstance(entry.get("required"), bool)
    }
    names = [*required, *(name for name, flag in flagged.items() if flag and name not in required)]
    if names:
        schema["required"] = names


def _check_keywords(key: tuple[str | int, ...], schema: dict[str, Any], say: Say) -> None:
    is_top_property = len(key) == _TOP_PROPERTY_DEPTH and key[0] == "properties"
    if not is_top_property and schema.pop("secret", False) is not False:
        say((*key, "secret"), "only a parameter itself can be secret, not a part of one")
    if schema.pop("immutable", False) is not False:
        say((*key, "immutable"), "is not supported: put the value into the script or under env.set")
    for keyword in ("$ref", "$dynamicRef"):
        reference = schema.get(keyword)
        if isinstance(reference, str) and not reference.startswith("#"):
            say((*key, keyword), "expected a reference within this schema, which begins with #: nothing is fetched")
    if "$id" in schema:
        say((*key, "$id"), "is not supported: references stay within this schema")


def _is_secret(name: str, entry: dict[str, Any], say: Say) -> bool:
    secret = entry.pop("secret", False)
    if not isinstance(secret, bool):
        say(("properties", name, "secret"), "expected true or false")
        secret = True
    elif not secret and "allow" in entry:
        say(("properties", name, "allow"), "is for parameters with secret: true")
        del entry["allow"]
    return secret


def _secret_parameter(name: str, entry: Mapping[str, Any], *, required: bool, say: Say) -> SecretParameter:
    key = ("properties", name)
    try:
        check_secret_name(name)
    except InvalidSecretError as error:
        say(key, str(error))
    allow = entry.get("allow")
    if not isinstance(allow, list) or not allow or not all(isinstance(item, str) and item for item in allow):
        say((*key, "allow"), "a secret parameter lists the references it may be, one at least")
        allow = []
    default = entry.get("default")
    if default is not None and (not isinstance(default, str) or default not in allow):
        say((*key, "default"), "expected one of the references in allow")
    return SecretParameter(name, tuple(allow), required, default)


def _check_variables(properties: Mapping[str, Any], say: Say) -> None:
    first_by_variable: dict[str, str] = {}
    for name in properties:
        if not name:
            say(("properties", name), "expected a name")
        variable = parameter_variable(name)
        first = first_by_variable.setdefault(variable, name)
        if first != name:
            say(("properties", name), f"gives the variable {variable}, as the parameter {first} does: rename one")
