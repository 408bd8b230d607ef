"""Passwords in settings are not shown."""

from __future__ import annotations

import json

import pytest

from attune_tasks.settings import load_settings
from attune_tasks.settings.masking import mask_setting, mask_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:pw@host:6379/0", "redis://:***@host:6379/0"),
        ("amqp://u:p/w@x@host//", "amqp://u:***@host//"),
        ("amqp://u:p1@h1;amqp://u:p2@h2", "amqp://u:***@h1;amqp://u:***@h2"),
        ("db+postgresql://u:p@h/db", "db+postgresql://u:***@h/db"),
        ("u:p@h", "u:***@h"),
        ("redis://h/0?password=pw&x=1", "redis://h/0?password=***&x=1"),
    ],
)
def test_the_password_of_a_url_is_masked(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_values_under_telling_names_are_masked_and_paths_are_not() -> None:
    values = {"token": "a", "token_file": "/a", "db_password": 1, "secret_id": ["x"], "role": "r", "password": None}
    assert mask_setting("vault", values) == {
        "token": "***",
        "token_file": "/a",
        "db_password": "***",
        "secret_id": "***",
        "role": "r",
        "password": None,
    }


TELLING = ("api_key", "client_secret", "secret_key", "access_key", "auth", "pwd", "DB_PASSWORD", "passphrase")
OPTIONS = {**dict.fromkeys(TELLING, "canary"), "token": "canary", "role": "canary", "address": "https://u:canary@h"}


def test_of_a_plugins_own_options_only_what_is_known_to_be_harmless_is_shown() -> None:
    options = {
        "address": "https://h",
        "token_file": "/f",
        "role": "r",
        "port": 1,
        "verify": True,
        "deep": {"pin": 4711},
    }
    assert mask_setting("options", {"p": options})["p"] == {
        "address": "https://h",
        "token_file": "/f",
        "role": "***",
        "port": 1,
        "verify": True,
        "deep": {"pin": "***"},
    }


def test_nothing_that_shows_settings_shows_a_password() -> None:
    loaded = load_settings(
        overrides={
            "broker_url": "redis://:canary@h/0",
            "secrets": {"options": {"vault": OPTIONS, "x": {"anything": ["canary"]}}},
            "runtimes": {"x": {**dict.fromkeys(TELLING, "canary"), "bearer": "canary", "interpreter": "/usr/bin/x"}},
        },
        environ={},
    )
    masked = loaded.masked()
    shown = [repr(loaded), str(loaded.settings), repr(loaded.settings.secrets), json.dumps(masked)]
    assert not [text for text in shown if "canary" in text]
    assert masked["broker_url"] == "redis://:***@h/0"
    assert masked["secrets"]["file"] == {"path": None}
    assert loaded.settings.broker_url == "redis://:canary@h/0"


def test_a_secret_in_a_variable_is_warned_about() -> None:
    environ = {
        "ATTUNE_TASKS_BROKER_URL": "redis://:canary@h/0",
        "ATTUNE_TASKS_RESULT_BACKEND": "redis://h/0",
        "ATTUNE_TASKS_SECRETS__OPTIONS": '{"vault": {"client_secret": "canary", "role": "canary"}}',
    }
    warnings = load_settings(environ=environ, overrides={"secrets": {"options": {"x": {"token": "t"}}}}).warnings
    assert [warning.split(" holds")[0] for warning in warnings] == [
        "variable ATTUNE_TASKS_BROKER_URL",
        "variable ATTUNE_TASKS_SECRETS__OPTIONS",
    ]
    assert "canary" not in str(warnings)
