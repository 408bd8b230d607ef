"""References: two forms, one canonical text, and no quoting of what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attune_tasks.errors import InvalidReferenceError
from attune_tasks.secrets import SecretReference, parse_reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("billing/stripe#api_key", SecretReference("file", "billing/stripe", "api_key")),
        ("vault://kv/billing/stripe#api_key", SecretReference("vault", "kv/billing/stripe", "api_key", True)),  # noqa: FBT003
        ("billing#", SecretReference("file", "billing", "")),
        ("a b/c?version=3#f", SecretReference("file", "a b/c", "f", options={"version": "3"})),
        ("billing#a?b#c", SecretReference("file", "billing", "a?b#c")),
        ("100%/x#f", SecretReference("file", "100%/x", "f")),
    ],
)
def test_a_reference_is_read_and_its_text_is_canonical(text: str, reference: SecretReference) -> None:
    assert parse_reference(text, default_provider="file") == reference
    assert str(reference) == text


def test_options_are_put_in_order() -> None:
    assert str(parse_reference("a?z=1&b=2#f", default_provider="file")) == "a?b=2&z=1#f"


def test_one_location_serves_every_field_of_a_path() -> None:
    def location(text: str) -> object:
        return parse_reference(text, default_provider="vault").location

    assert location("a/b#x") == location("a/b#y") == location("a/b#")
    # With a scheme the first part is the mount, so the same path is another place.
    assert len({location(text) for text in ("a/b#x", "vault://a/b#x", "a/b?version=1#x", "file://a/b#x")}) == 4


def test_a_reference_can_be_a_key() -> None:
    assert len({parse_reference(text, default_provider="file") for text in ("a#x", "a#x", "a?v=1#x")}) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hunter2", "no # before the field"),
        ("", "no # before the field"),
        ("#hunter2", "path is empty"),
        ("vault://#hunter2", "path is empty"),
        ("?version=1#hunter2", "path is empty"),
        ("hunter2/../x#f", r"`\.` or `\.\.`"),
        ("hunter2/%2e%2E/x#f", r"`\.` or `\.\.`"),
        ("./hunter2#f", r"`\.` or `\.\.`"),
        ("/hunter2#f", "empty part"),
        ("hunter2/#f", "empty part"),
        ("hunter2//x#f", "empty part"),
        (" hunter2#f", "begins or ends with a space"),
        ("hunter2\n#f", "can't be printed"),
        ("hunter2#f\0", "can't be printed"),
        ("hunter2\u202e#f", "can't be printed"),
        ("hunter2\ud800#f", "can't be printed"),
        ("HUNTER2://x#f", "no provider's name"),
        ("hunter2?#f", "not of the form name=value"),
        ("hunter2?version=#f", "not of the form name=value"),
        ("a?hunter2=1&hunter2=2#f", "gives one name twice"),
    ],
)
def test_what_is_no_reference_is_refused_with_both_forms_and_never_quoted(text: str, reason: str) -> None:
    with pytest.raises(InvalidReferenceError, match=reason) as caught:
        parse_reference(text, default_provider="file")
    assert "`vault://<mount>/<path>#<field>`" in str(caught.value)
    assert "`<path>#<field>`" in str(caught.value)
    assert "hunter2" not in str(caught.value).lower()
    assert caught.value.__context__ is None


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidReferenceError, match="it is int, not text"):
        parse_reference(4711, default_provider="file")


@given(st.text(max_size=30) | st.text("ab/.#?=&:%2e ", max_size=30))
def test_whatever_parses_is_read_the_same_from_its_canonical_text(text: str) -> None:
    try:
        reference = parse_reference(text, default_provider="file")
    except InvalidReferenceError:
        return
    assert parse_reference(str(reference), default_provider="file") == reference
    assert ".." not in reference.path.split("/")
