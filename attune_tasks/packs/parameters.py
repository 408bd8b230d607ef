"""The parameters of an action: compiled once, then checked for each execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attune_tasks.errors import InvalidParametersError
from attune_tasks.packs.json_values import copy_json, fill_defaults
from attune_tasks.packs.schema_problems import path_text, problems_of
from attune_tasks.packs.schema_source import Say, SecretParameter, close, is_json_schema, normalise, subschemas
from attune_tasks.wire_names import parameter_variable

if TYPE_CHECKING:  # loaded when a schema is compiled
    from jsonschema import Draft202012Validator

__all__ = ["ParameterSchema", "SecretParameter", "ValidatedParameters"]

_HERE: Final = "urn:attune-tasks:parameters"
_TYPES: Final = "array, boolean, integer, null, number, object, string"


@dataclass(frozen=True, slots=True)
class ValidatedParameters:
    """Parameters that fit: the public ones with defaults filled in, and the references of the secret ones."""

    public: dict[str, Any]
    secret_refs: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class ParameterSchema:
    """What parameters an action takes."""

    schema: Mapping[str, Any]
    """JSON Schema (draft 2020-12) of the public parameters."""
    secret_parameters: Mapping[str, SecretParameter]
    _validator: Draft202012Validator = field(repr=False)

    @classmethod
    def parse(cls, spec: Mapping[str, Any], say: Say) -> ParameterSchema | None:
        """Compile ``parameters:`` in either form; None where it has faults, each of which goes to `say`."""
        faults: set[tuple[tuple[str | int, ...], str]] = set()
        is_flat = not is_json_schema(spec)

        def say_once(key: tuple[str | int, ...], text: str) -> None:
            if (key, text) not in faults:
                faults.add((key, text))
                say(key[1:] if is_flat and key[:1] == ("properties",) else key, text)

        schema, secrets = normalise(spec, say_once)
        if faults:
            return None
        close(schema)
        validator = _compile(schema, say_once)
        return None if faults else cls(MappingProxyType(schema), MappingProxyType(secrets), validator)

    def validate(
        self, values: Mapping[str, Any], how_to_store: Callable[[str], str] | None = None
    ) -> ValidatedParameters:
        """Check `values` and fill in the defaults, also those of nested objects; `values` is not changed.

        `how_to_store` says how a value gets to where a reference says, for who gave one in place of the reference.
        Raises InvalidParametersError with all that is wrong; it quotes no value.
        """
        problems: list[str] = []

        def say(path: tuple[str | int, ...], text: str) -> None:
            problems.append(f"{path_text(path) or 'parameters'}: {text}")

        given = values if isinstance(values, Mapping) else {}
        if given is not values:
            say((), "expected names with values")
        public = copy_json({name: value for name, value in given.items() if name not in self.secret_parameters}, say)
        secret_refs = {}
        if not problems:  # else the values can't be looked at
            secret_refs = self._secret_refs(given, say, how_to_store)
            fill_defaults(public, self.schema)
            found = problems_of(self._validator.iter_errors(public), self.secret_parameters)
            for path, text in dict.fromkeys(found):
                say(path, text)
            self._check_variables(public, say)
        if problems:
            raise InvalidParametersError(problems=problems)
        return ValidatedParameters(public, secret_refs)

    def _secret_refs(
        self, given: Mapping[str, Any], say: Say, how_to_store: Callable[[str], str] | None
    ) -> dict[str, str]:
        refs = {}
        for name, parameter in self.secret_parameters.items():
            value = given.get(name, parameter.default)
            if isinstance(value, str) and value in parameter.allow:
                refs[name] = value
            elif name in given:
                # What was given is not looked at any further, nor quoted: it may be the secret itself.
                way = f"; a value is stored first: {how_to_store(parameter.allow[0])}" if how_to_store else ""
                allowed = ", ".join(parameter.allow)
                say((name,), f"is secret and takes a reference, never a value: one of {allowed}{way}")
            elif parameter.required:
                say((name,), f"is required: one of the references {', '.join(parameter.allow)}")
        return refs

    def _check_variables(self, public: Mapping[str, Any], say: Say) -> None:
        """Look at names that the schema lets in without naming them: its own were looked at when it was loaded."""
        if public.keys() <= self.schema["properties"].keys():
            return
        first_by_variable: dict[str, str] = {}
        for name in public:
            first = first_by_variable.setdefault(parameter_variable(name), name)
            if first != name:
                say((name,), f"gives the same variable as {path_text([first])} does: {parameter_variable(name)}")


def _compile(schema: dict[str, Any], say: Say) -> Draft202012Validator:
    """Check that `schema` is a JSON Schema, that its references lead somewhere, that its defaults fit."""
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    # An empty registry: jsonschema's own would fetch what it does not know.
    registry: Registry[Any] = Registry()
    validator = Draft202012Validator(schema, registry=registry)
    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    faults = list(problems_of(meta.iter_errors(schema)))
    for key, text in faults:
        say(key, f"expected one of {_TYPES}, or a list of them" if key[-1:] == ("type",) else text)
    if faults:
        return validator
    resolver = registry.with_resource(_HERE, DRAFT202012.create_resource(schema)).resolver(_HERE)
    for key, subschema in subschemas(schema):
        for keyword in {"$ref", "$dynamicRef"} & subschema.keys():
            try:
                resolver.lookup(subschema[keyword])
            except Unresolvable:
                faults.append(((*key, keyword), "leads nowhere in this schema"))
    if not faults:
        for name, entry in schema["properties"].items():
            if isinstance(entry, dict) and "default" in entry:
                found = problems_of(validator.evolve(schema=entry).iter_errors(entry["default"]))
                faults += [(("properties", name, "default", *path), text) for path, text in found]
    for key, text in faults:
        say(key, text)
    return validator
