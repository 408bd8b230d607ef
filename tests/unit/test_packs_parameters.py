"""Schemas of parameters, and what is said of parameters that do not fit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attune_tasks.errors import InvalidParametersError
from attune_tasks.packs import ParameterSchema

CANARY = "hunter2-canary"


def faults_of(spec: dict[str, Any]) -> list[str]:
    faults: list[str] = []
    schema = ParameterSchema.parse(spec, lambda key, text: faults.append(f"{'.'.join(map(str, key))}: {text}"))
    assert (schema is None) == bool(faults)
    return faults


def compiled(spec: dict[str, Any]) -> ParameterSchema:
    before = json.dumps(spec)
    schema = ParameterSchema.parse(spec, lambda key, text: pytest.fail(f"{key}: {text}"))
    assert schema is not None
    assert json.dumps(spec) == before
    return schema


def problems_of(schema: ParameterSchema, values: Any) -> list[str]:
    with pytest.raises(InvalidParametersError) as caught:
        schema.validate(values)
    error = caught.value
    assert CANARY not in str(error) + repr(error.args) + repr(error.__cause__) + repr(error.__context__)
    return list(error.problems)


FLAT = {
    "url": {"type": "string", "required": True},
    "retries": {"type": "integer", "minimum": 0, "default": 3},
    "key": {"type": "string", "secret": True, "required": True, "allow": ["a#x", "b#y"]},
}
OBJECT = {
    "type": "object",
    "properties": {
        "url": {"type": "string"},
        "retries": {"type": "integer", "minimum": 0, "default": 3},
        "key": {"secret": True, "allow": ["a#x", "b#y"]},
    },
    "required": ["url", "key"],
}


@pytest.mark.parametrize("spec", [FLAT, OBJECT])
def test_both_forms_mean_the_same(spec: dict[str, Any]) -> None:
    schema = compiled(spec)
    found = schema.validate({"url": "x", "key": "b#y"})
    assert found.public == {"url": "x", "retries": 3}
    assert found.secret_refs == {"key": "b#y"}
    assert sorted(problems_of(schema, {"retries": -1, "retrys": 1})) == [
        "key: is required: one of the references a#x, b#y",
        "retries: must be 0 or more",
        "retrys: is not known; did you mean retries?",
        "url: is required",
    ]
    assert "secret" not in json.dumps(dict(schema.schema))


def test_a_literal_for_a_secret_parameter_is_refused_and_not_quoted() -> None:
    schema = compiled(FLAT)
    for literal in (CANARY, None, 5, ["a#x"], {"a": CANARY}, ""):
        assert problems_of(schema, {"url": "x", "key": literal}) == [
            "key: is secret and takes a reference, never a value: one of a#x, b#y"
        ]


def test_a_literal_is_refused_with_the_way_to_store_it_which_never_gets_the_literal() -> None:
    asked: list[str] = []

    def how(reference: str) -> str:
        asked.append(reference)
        return "type this"

    with pytest.raises(InvalidParametersError) as caught:
        compiled(FLAT).validate({"url": "x", "key": CANARY}, how)
    assert caught.value.problems == (
        "key: is secret and takes a reference, never a value: one of a#x, b#y; a value is stored first: type this",
    )
    assert asked == ["a#x"]


def test_a_secret_parameter_may_be_optional_or_have_a_default() -> None:
    schema = compiled(
        {"a": {"secret": True, "allow": ["r#f"]}, "b": {"secret": True, "allow": ["s#f"], "default": "s#f"}}
    )
    assert schema.validate({}).secret_refs == {"b": "s#f"}
    assert schema.secret_parameters["a"].allow == ("r#f",)


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"a": {"secret": True}}, "a.allow: a secret parameter lists"),
        ({"a": {"secret": True, "allow": []}}, "a.allow: a secret parameter lists"),
        ({"a": {"secret": True, "allow": "x"}}, "a.allow: a secret parameter lists"),
        ({"a": {"secret": True, "allow": ["x#y"], "default": CANARY}}, "a.default: expected one of the references"),
        ({"a": {"secret": "yes", "allow": ["x#y"]}}, "a.secret: expected true or false"),
        ({"a": {"allow": ["x#y"]}}, "a.allow: is for parameters with secret: true"),
        ({"1 a": {"secret": True, "allow": ["x#y"]}}, "1 a: the secret name '1 a' is not of the form"),
        ({"a": {"type": "object", "properties": {"b": {"secret": True}}}}, "a.properties.b.secret: only a parameter"),
        ({"a": {"type": "array", "items": {"secret": True}}}, "a.items.secret: only a parameter"),
        ({"type": "object", "allOf": [{"properties": {"b": {"secret": True}}}]}, "allOf.0.properties.b.secret: only"),
        ({"a": {"immutable": True}}, "a.immutable: is not supported"),
        ({"a": "string"}, "a: expected a mapping"),
        ({"a": {"type": "strin"}}, "a.type: expected one of array, boolean"),
        ({"a": {"required": "yes"}}, "a.required: expected array"),
        ({"a": {"pattern": "("}}, "a.pattern: expected the format 'regex'"),
        ({"a": {"type": "integer", "default": CANARY}}, "a.default: expected integer"),
        ({"a": {"enum": ["x"], "default": CANARY}}, "a.default: expected one of 'x'"),
        ({"a": {"$ref": "https://example.org/x"}}, "a.$ref: expected a reference within this schema"),
        ({"a": {"$ref": "other.json"}}, "a.$ref: expected a reference within this schema"),
        ({"a": {"$ref": "#/$defs/none"}}, "a.$ref: leads nowhere"),
        ({"a": {"$id": "https://example.org/x"}}, "a.$id: is not supported"),
        ({"max-x": {}, "max_x": {}}, "max_x: gives the variable ATTUNE_ACTION_MAX_X, as the parameter max-x does"),
        ({"": {}}, ": expected a name"),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "properties.a.type: expected one of"),
        ({"type": "object", "properties": []}, "properties: expected a mapping"),
        ({"$schema": "x", "type": "array"}, "type: expected object"),
    ],
)
def test_a_faulty_schema_is_refused(spec: dict[str, Any], fault: str) -> None:
    found = faults_of(spec)
    assert len(found) == 1
    assert found[0].startswith(fault)
    assert CANARY not in found[0]


def test_all_faults_of_a_schema_are_told() -> None:
    assert len(faults_of({"a": {"type": "strin"}, "b": {"minimum": "x"}, "c": {"type": 5}})) == 3


def test_a_parameter_may_be_called_type_or_properties() -> None:
    schema = compiled({"type": {"type": "string"}, "properties": {"type": "object"}})
    assert schema.validate({"type": "x", "properties": {}}).public == {"type": "x", "properties": {}}


def test_a_schema_is_told_from_the_flat_form_by_its_properties_alone() -> None:
    schema = compiled({"properties": {"a": {"type": "string"}}, "required": ["a"]})
    assert schema.validate({"a": "x"}).public == {"a": "x"}


def test_no_parameters_means_none_are_taken() -> None:
    assert compiled({}).validate({}).public == {}
    assert problems_of(compiled({}), {"a": CANARY}) == ["a: is not known"]


def test_defaults_of_nested_objects_are_filled_in_and_the_callers_values_stay() -> None:
    schema = compiled(
        {
            "size": {
                "type": "object",
                "properties": {"x": {"type": "integer", "default": 1}, "y": {"type": "integer", "required": True}},
            },
            "items": {"type": "array", "items": {"properties": {"n": {"default": [0]}}}},
        }
    )
    given: dict[str, Any] = {"size": {"y": 2}, "items": [{}, {"n": 5}]}
    found = schema.validate(given)
    assert found.public == {"size": {"y": 2, "x": 1}, "items": [{"n": [0]}, {"n": 5}]}
    assert given == {"size": {"y": 2}, "items": [{}, {"n": 5}]}
    found.public["items"][0]["n"].append(1)
    assert schema.validate(given).public["items"][0]["n"] == [0]
    assert problems_of(schema, {"size": {}}) == ["size.y: is required"]


def test_a_schema_may_let_other_names_in() -> None:
    schema = compiled({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}})
    assert schema.validate({"b": 1}).public == {"b": 1}
    assert problems_of(schema, {"b": CANARY}) == ["b: expected integer"]
    assert problems_of(schema, {"x-y": 1, "x_y": 2}) == ["x_y: gives the same variable as x-y does: ATTUNE_ACTION_X_Y"]


def test_composed_schemas_are_closed_without_refusing_their_own_names() -> None:
    schema = compiled(
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/number"}},
            "$defs": {"number": {"type": "integer"}},
            "anyOf": [{"properties": {"b": {"type": "string"}}, "required": ["b"]}, {"required": ["a"]}],
        }
    )
    assert schema.validate({"a": 1}).public == {"a": 1}
    assert schema.validate({"b": "x"}).public == {"b": "x"}
    assert problems_of(schema, {"a": 1, "c": CANARY}) == ["c: is not known"]
    assert problems_of(schema, {"a": CANARY, "b": "x"})[0] == "a: expected integer"
    assert "parameters: fits none of the forms in anyOf" in problems_of(schema, {})


@pytest.mark.parametrize(
    ("entry", "value", "problem"),
    [
        ({"type": "string"}, 5, "a: expected string"),
        ({"type": ["string", "null"]}, 5, "a: expected string or null"),
        ({"enum": ["x", 1]}, CANARY, "a: expected one of 'x', 1"),
        ({"const": 1}, CANARY, "a: expected 1"),
        ({"pattern": "^x$"}, CANARY, "a: must match '^x$'"),
        ({"maxLength": 3}, CANARY, "a: must have 3 characters or fewer"),
        ({"not": {"type": "string"}}, CANARY, "a: has a form that the schema rules out"),
        ({"items": {"type": "integer"}}, [1, CANARY], "a[1]: expected integer"),
        ({"propertyNames": {"maxLength": 3}}, {"long name": CANARY}, "a: must have 3 characters or fewer"),
        ({"dependentRequired": {"x": ["y"]}}, {"x": CANARY}, "a: does not satisfy dependentRequired"),
        ({}, float("nan"), "a: expected a JSON value, found a number that is not finite"),
        ({}, {1: CANARY}, "a: has names that are not text"),
        ({}, [CANARY.encode()], "a[0]: expected a JSON value, found bytes"),
    ],
)
def test_what_does_not_fit_is_told_by_what_was_expected(entry: dict[str, Any], value: Any, problem: str) -> None:
    assert problems_of(compiled({"a": entry}), {"a": value}) == [problem]


def test_parameters_that_are_no_mapping_or_too_deep_are_refused() -> None:
    assert problems_of(compiled({}), CANARY) == ["parameters: expected names with values"]
    deep: Any = CANARY
    for _ in range(5000):
        deep = [deep]
    assert problems_of(compiled({"a": {}}), {"a": deep}) == ["a: is nested deeper than 64 levels"]


def test_hostile_names_are_shown_on_one_short_line() -> None:
    (problem,) = problems_of(compiled({}), {"a\nb" + "x" * 500: 1})
    assert "\n" not in problem
    assert len(problem) < 100
