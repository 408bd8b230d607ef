"""ATTUNE_TASKS of Django's settings: who is told of it, and what wins."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import Celery

from attune_tasks._celery.per_app import state_of
from attune_tasks.errors import SettingsError
from attune_tasks.settings import load_settings
from tests.django_site import Site, set_up_django

set_up_django()

from django.test import override_settings  # noqa: E402 - needs settings

from attune_tasks.contrib.django.options import age_of, django_options  # noqa: E402


def test_the_settings_reach_whatever_app_there_is(django_site: Site) -> None:
    other = Celery("other", set_as_current=False)
    for app in (django_site.app, other):
        loaded = state_of(app).loaded
        assert loaded.settings.packs == (django_site.packs,)
        assert loaded.origins["packs"] == "ATTUNE_TASKS of Django's settings"


def test_an_apps_own_settings_and_variables_win(django_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(ATTUNE_TASKS={"timeout": 1, "grace": 1, "isolation": "exec"}):
        monkeypatch.setenv("ATTUNE_TASKS_GRACE", "3")
        loaded = load_settings(app_settings={"timeout": 2})
    settings = loaded.settings
    assert (settings.timeout, settings.grace, settings.isolation) == (2, 3, "exec")


def test_what_a_test_overrides_holds_at_once_and_no_longer(django_site: Site) -> None:
    assert state_of(django_site.app).loaded.settings.timeout == 3600
    with override_settings(ATTUNE_TASKS={"timeout": 5}):
        assert state_of(django_site.app).loaded.settings.timeout == 5
    assert state_of(django_site.app).loaded.settings.timeout == 3600


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tiemout": 5}, "ATTUNE_TASKS of Django's settings: tiemout: unknown setting; did you mean timeout"),
        ("packs", "ATTUNE_TASKS of Django's settings: expected a mapping"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(django_site: Site, given: object, told: str) -> None:
    with override_settings(ATTUNE_TASKS=given), pytest.raises(SettingsError) as caught:
        load_settings()
    assert told in str(caught.value)


def test_the_options_of_the_app_are_read_and_checked(django_site: Site) -> None:
    with override_settings(ATTUNE_TASKS={"django": {"keep": "30d", "output_bytes": 10}}):
        options = django_options()
        load_settings()  # which knows nothing of them
    assert (options.keep, options.output_bytes, options.record) == (timedelta(days=30), 10, True)
    with (
        override_settings(ATTUNE_TASKS={"django": {"kep": 1, "keep": "soon-Xq7"}}),
        pytest.raises(SettingsError) as caught,
    ):
        django_options()
    assert "django.kep: unknown setting; did you mean keep" in str(caught.value)
    assert "django.keep: expected an age, as 30d" in str(caught.value)
    assert "Xq7" not in str(caught.value)


def test_ages_are_read() -> None:
    assert [age_of(text) for text in ("2d", "3h", "4m", "5s")] == [
        timedelta(days=2),
        timedelta(hours=3),
        timedelta(minutes=4),
        timedelta(seconds=5),
    ]
    for wrong in ("", "30", "d", "-1d", 30):
        with pytest.raises(ValueError, match="expected an age"):
            age_of(wrong)


def test_nothing_of_it_is_left_when_the_site_is_gone() -> None:
    assert load_settings().origins["packs"] == "default"
