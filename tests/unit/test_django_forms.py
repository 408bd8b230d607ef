"""The form of an action: its fields by the schema, its faults at their fields, no value quoted."""

from __future__ import annotations

from typing import Any

import pytest

from attune_tasks._celery.per_app import state_of
from tests.django_site import Site, set_up_django

set_up_django()

from django.forms import Form  # noqa: E402 - needs settings

from attune_tasks.contrib.django.forms import ActionForm, _field_of, _shown  # noqa: E402

GOOD = {"p_amount": "5", "p_key": "work/api#api_key"}


def _form(site: Site, data: dict[str, Any] | None = None, **options: Any) -> ActionForm:
    return ActionForm(state_of(site.app).registry.get("shop.pay"), data, **options)


def test_what_is_left_empty_is_not_given_so_that_defaults_hold(django_site: Site) -> None:
    form = _form(django_site, GOOD)
    assert form.is_valid(), form.errors
    assert form.parameters == {"amount": 5, "key": "work/api#api_key"}


def test_every_type_is_read_as_json_has_it(django_site: Site) -> None:
    given = {"p_currency": "1", "p_express": "false", "p_note": "in haste", "p_share": "0.5", "p_lines": '["a"]'}
    form = _form(django_site, GOOD | given)
    assert form.is_valid(), form.errors
    assert form.parameters == {
        "amount": 5,
        "key": "work/api#api_key",
        "currency": "USD",
        "express": False,
        "note": "in haste",
        "share": 0.5,
        "lines": ["a"],
    }


def test_defaults_choices_and_helps_are_shown(django_site: Site) -> None:
    html = _form(django_site).as_div()
    assert 'name="p_amount"' in html
    assert 'min="1"' in html
    assert "In cents." in html
    assert '<option value="0" selected>EUR</option>' in html
    assert '<option value="work/api#password">work/api#password</option>' in html
    assert html.count("<label") == 7


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("p_amount", ""),
        ("p_amount", "many-Zq7"),
        ("p_amount", "0"),
        ("p_currency", "Zq7"),
        ("p_key", "Zq7-secret"),
        ("p_key", ""),
        ("p_note", "Zq7"),
        ("p_note", "z" * 41),
        ("p_share", "Zq7"),
        ("p_lines", "Zq7"),
        ("p_lines", "[7]"),
    ],
)
def test_each_fault_stands_at_its_field_and_quotes_no_value(django_site: Site, field: str, text: str) -> None:
    form = _form(django_site, GOOD | {field: text})
    assert not form.is_valid()
    assert list(form.errors) == [field]
    assert "Zq7" not in str(form.errors)


def test_a_secret_that_was_typed_in_place_of_a_reference_is_not_shown_again(django_site: Site) -> None:
    form = _form(django_site, GOOD | {"p_key": "Zq7-secret"})
    assert not form.is_valid()
    assert "Zq7-secret" not in form.as_div()


def test_the_form_begins_with_what_was_given_before(django_site: Site) -> None:
    values = {"amount": 9, "currency": "USD", "express": True, "lines": ["a"], "key": "work/api#password"}
    html = _form(django_site, values=values).as_div()
    assert 'value="9"' in html
    assert '<option value="1" selected>USD</option>' in html
    assert '<option value="true" selected>yes</option>' in html
    assert '<option value="work/api#password" selected>' in html


def test_a_yes_or_no_that_is_required_begins_with_what_was_given_before() -> None:
    field = _field_of("sure", {"type": "boolean"}, required=True)
    field.initial = _shown(field, value=False)
    form = Form()
    form.fields["sure"] = field
    assert '<option value="false" selected>no</option>' in form.as_div()
