"""A form made from an action's JSON Schema. What it holds in the end the schema itself judges, as in a worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from django import forms

from attune_tasks.errors import InvalidParametersError

if TYPE_CHECKING:
    from attune_tasks.packs import Action

__all__ = ["ActionForm"]

_PREFIX: Final = "p_"
_UNSET: Final = ""
_LONG_TEXT: Final = 200
"""Characters which a parameter may have for a field of several lines to be shown."""


class ActionForm(forms.Form):
    """The parameters of one action. What is left empty is not given, so that the action's default holds."""

    required_css_class = "required"  # of their labels, which the admin shows in bold

    def __init__(
        self, action: Action, *arguments: Any, values: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """Make the fields; `values` are parameters to begin with, as of an earlier execution."""
        super().__init__(*arguments, **options)
        self._action = action
        values = values or {}
        schema = action.schema.schema
        for name, entry in schema.get("properties", {}).items():
            entry = entry if isinstance(entry, dict) else {}  # noqa: PLW2901 - true: anything goes
            field = _field_of(name, entry, required=name in schema.get("required", ()))
            if name in values:
                field.initial = _shown(field, values[name])
            self.fields[_PREFIX + name] = field
        for name, secret in action.schema.secret_parameters.items():
            choices = [(reference, reference) for reference in secret.allow]
            if not secret.required:
                choices.insert(0, (_UNSET, "(none)" if secret.default is None else "(the default)"))
            wanted = values.get(name, secret.default)
            self.fields[_PREFIX + name] = forms.ChoiceField(
                label=name,
                choices=choices,
                required=secret.required,
                initial=wanted if wanted in secret.allow else None,
                help_text="Secret: the reference of what the worker is to fetch.",
                # Django's own text would quote what was sent: it may be the secret itself.
                error_messages={"invalid_choice": "Choose one of the references."},
            )

    @property
    def parameters(self) -> dict[str, Any]:
        """Give the parameters of a form that is valid."""
        given: dict[str, Any] = self.cleaned_data["parameters"]
        return given

    def clean(self) -> dict[str, Any]:
        """Check all of it by the action's schema; each fault stands at its field, and quotes no value."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        given = {
            name.removeprefix(_PREFIX): value
            for name, value in cleaned.items()
            if not (value is None or value == _UNSET)
        }
        for name in self.fields:
            # An empty text that is required is a text all the same.
            if name in cleaned and cleaned[name] == _UNSET and self.fields[name].required:
                given[name.removeprefix(_PREFIX)] = ""
        if not self.errors:
            try:
                self._action.schema.validate(given)
            except InvalidParametersError as error:
                for problem in error.problems:
                    self._add(problem)
        return {**cleaned, "parameters": given}

    def _add(self, problem: str) -> None:
        """Put a fault of the schema's to its field."""
        place, _, text = problem.partition(": ")
        names = sorted(self.fields, key=len, reverse=True)
        own = (name for name in names if place.startswith(name.removeprefix(_PREFIX)))
        self.add_error(next(own, None), text or problem)


class _EnumField(forms.TypedChoiceField):
    """A choice among JSON values of whatever type: the form has their numbers."""

    def __init__(self, values: list[Any], **options: Any) -> None:
        self._values = values
        choices = [(str(number), _label(value)) for number, value in enumerate(values)]
        if not options["required"]:
            choices.insert(0, (_UNSET, "(not given)"))
        messages = {"invalid_choice": "Choose one of the values."}
        super().__init__(
            choices=choices, coerce=lambda text: values[int(text)], empty_value=None, error_messages=messages, **options
        )

    def number_of(self, value: Any) -> str | None:
        """Give the form's text for one of the values."""
        same = (str(number) for number, each in enumerate(self._values) if each == value and type(each) is type(value))
        return next(same, None)


class _JsonField(forms.JSONField):
    def __init__(self, **options: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"})
        super().__init__(widget=widget, error_messages={"invalid": "Enter JSON."}, **options)


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown(field: forms.Field, value: Any) -> Any:
    if isinstance(field, _EnumField):
        return field.number_of(value)
    if isinstance(field, forms.NullBooleanField):
        return value if isinstance(value, bool) else None
    if isinstance(field, forms.TypedChoiceField):  # a yes or no that is required
        return str(value).lower() if isinstance(value, bool) else None
    return value


def _field_of(name: str, entry: Mapping[str, Any], *, required: bool) -> forms.Field:
    """Make the field of one parameter. A default is what the form begins with."""
    default = entry.get("default")
    options: dict[str, Any] = {
        "label": str(entry.get("title") or name),
        "required": required and "default" not in entry,
        "help_text": " ".join(str(entry.get("description", "")).split()),
    }
    kinds = entry.get("type")
    kinds = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind != "null"]
    kind = kinds[0] if len(kinds) == 1 else None
    if isinstance(entry.get("enum"), list):
        field: forms.Field = _EnumField(entry["enum"], **options)
    elif kind == "boolean":
        field = _boolean(options)
    elif kind == "integer":
        field = forms.IntegerField(min_value=entry.get("minimum"), max_value=entry.get("maximum"), **options)
    elif kind == "number":
        field = forms.FloatField(min_value=entry.get("minimum"), max_value=entry.get("maximum"), **options)
    elif kind == "string":
        field = _text(entry, options)
    else:
        field = _JsonField(**options)
    if "default" in entry:
        field.initial = _shown(field, default)
    return field


def _boolean(options: dict[str, Any]) -> forms.Field:
    """Make a choice of yes and no: a box that is not ticked can't tell "no" from "not given"."""
    choices = [("true", "yes"), ("false", "no")]
    if options["required"]:
        return forms.TypedChoiceField(
            choices=[("", "(choose)"), *choices], coerce=lambda text: text == "true", empty_value=None, **options
        )
    widget = forms.NullBooleanSelect()
    widget.choices = [("unknown", "(not given)"), *choices]  # the first is Django's own word for neither
    return forms.NullBooleanField(widget=widget, **options)


def _text(entry: Mapping[str, Any], options: dict[str, Any]) -> forms.Field:
    longest = entry.get("maxLength")
    is_long = isinstance(longest, int) and longest > _LONG_TEXT
    widget = forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}) if is_long else None
    widget = widget or forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"})
    return forms.CharField(min_length=entry.get("minLength"), max_length=longest, strip=False, widget=widget, **options)
