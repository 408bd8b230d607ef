"""Where settings come from, which place wins, and what is said of faults."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from attune_tasks.errors import SettingsError
from attune_tasks.settings import Settings, load_settings

CANARY = "hunter2-canary"


def problems_of(**arguments: object) -> list[str]:
    arguments.setdefault("environ", {})
    with pytest.raises(SettingsError) as caught:
        load_settings(**arguments)  # type: ignore[arg-type]
    error = caught.value
    assert CANARY not in str(error) + repr(error) + repr(error.__cause__) + repr(error.__context__)
    return list(error.problems)


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    loaded = load_settings(environ={}, directory=tmp_path)
    assert loaded.settings == Settings(packs=(tmp_path / "packs",))
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.origins["secrets.file.path"] == "default"
    assert loaded.warnings == ()


def test_each_place_wins_over_the_ones_below_it(tmp_path: Path) -> None:
    file = tmp_path / "attune-tasks.toml"
    file.write_text("timeout = 1\ngrace = 1\nbroker_url = 'toml://'\nresult_backend = 'toml://'\n")
    loaded = load_settings(
        overrides={"timeout": 4},
        environ={"ATTUNE_TASKS_TIMEOUT": "3", "ATTUNE_TASKS_GRACE": "3"},
        app_settings={"timeout": 2, "grace": 2, "broker_url": "app://"},
        directory=tmp_path,
    )
    settings = loaded.settings
    assert (settings.timeout, settings.grace) == (4, 3)
    assert (settings.broker_url, settings.result_backend) == ("app://", "toml://")
    assert loaded.origins["timeout"] == "argument"
    assert loaded.origins["grace"] == "variable ATTUNE_TASKS_GRACE"
    assert loaded.origins["broker_url"] == "app.conf.attune_tasks"
    assert loaded.origins["result_backend"] == str(file)


def test_mappings_merge_by_key_with_the_stronger_keys_first(tmp_path: Path) -> None:
    (tmp_path / "attune-tasks.toml").write_text('[routes]\n"billing.*" = "toml"\n"*" = "rest"\n')
    loaded = load_settings(
        environ={"ATTUNE_TASKS_ROUTES": '{"billing.close": "slow", "billing.*": "billing"}'}, directory=tmp_path
    )
    assert list(loaded.settings.routes.items()) == [
        ("billing.close", "slow"),
        ("billing.*", "billing"),
        ("*", "rest"),
    ]
    assert loaded.origins["routes.*"].endswith("attune-tasks.toml")
    assert loaded.origins["routes.billing.*"] == "variable ATTUNE_TASKS_ROUTES"


def test_lists_replace(tmp_path: Path) -> None:
    (tmp_path / "attune-tasks.toml").write_text('packs = ["a", "b"]\n')
    loaded = load_settings(overrides={"packs": ["c"]}, environ={}, directory=tmp_path)
    assert loaded.settings.packs == (tmp_path / "c",)


def test_nested_variables_set_nested_settings(tmp_path: Path) -> None:
    environ = {
        "ATTUNE_TASKS_SECRETS": '{"provider": "vault", "fetch_timeout": 3}',
        "ATTUNE_TASKS_SECRETS__FILE__PATH": "secrets.toml",
        "ATTUNE_TASKS_SECRETS__FETCH_TIMEOUT": "2.5",
        "ATTUNE_TASKS_SECRETS__OPTIONS__VAULT__ROLE": "0123",
        "ATTUNE_TASKS_RUNTIMES__PYTHON__INTERPRETER": "/usr/bin/python3",
    }
    settings = load_settings(environ=environ, directory=tmp_path).settings
    assert settings.secrets.file.path == tmp_path / "secrets.toml"
    assert settings.secrets.provider == "vault"
    assert settings.secrets.fetch_timeout == 2.5
    assert settings.secrets.options == {"vault": {"role": "0123"}}
    assert settings.runtimes == {"python": {"interpreter": "/usr/bin/python3"}}


def test_the_variable_packs_is_a_path_list_or_json(tmp_path: Path) -> None:
    for text in (f"a{os.pathsep}b", '["a", "b"]'):
        loaded = load_settings(environ={"ATTUNE_TASKS_PACKS": text}, directory=tmp_path)
        assert loaded.settings.packs == (tmp_path / "a", tmp_path / "b")


def test_relative_paths_start_where_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "a.toml").write_text('packs = ["p", "../q", "~/r"]\n[secrets.file]\npath = "s.toml"\n')
    work = tmp_path / "work"
    loaded = load_settings(environ={"ATTUNE_TASKS_CONFIG": "../etc/a.toml"}, directory=work)
    assert loaded.settings.packs == (tmp_path / "etc" / "p", tmp_path / "q", tmp_path / "home" / "r")
    assert loaded.settings.secrets.file.path == tmp_path / "etc" / "s.toml"
    loaded = load_settings(
        environ={"ATTUNE_TASKS_CONFIG": "../etc/a.toml"},
        app_settings={"secrets": {"file": {"path": "s.toml"}}},
        directory=work,
    )
    assert loaded.settings.secrets.file.path == work / "s.toml"


def test_the_config_variable_must_name_a_file(tmp_path: Path) -> None:
    (tmp_path / "attune-tasks.toml").write_text("timeout = 1\n")
    (problem,) = problems_of(environ={"ATTUNE_TASKS_CONFIG": "other.toml"}, directory=tmp_path)
    assert problem == f"{tmp_path / 'other.toml'}: the file that ATTUNE_TASKS_CONFIG names does not exist"


def test_toml_that_can_not_be_parsed_is_told_by_line_only(tmp_path: Path) -> None:
    file = tmp_path / "attune-tasks.toml"
    file.write_text(f'timeout = 1\nbroker_url = "{CANARY}\n')
    assert problems_of(directory=tmp_path) == [f"{file}:2: is not TOML"]
    file.write_bytes(b"a = '\xff'")
    assert problems_of(directory=tmp_path) == [f"{file}: is not UTF-8 text"]
    file.unlink()
    file.mkdir()
    assert problems_of(directory=tmp_path) == [f"{file}: can't be read: Is a directory"]


def test_all_faults_are_told_at_once_with_their_place_and_without_values(tmp_path: Path) -> None:
    (tmp_path / "attune-tasks.toml").write_text(f'brokerurl = "{CANARY}"\n[output]\nkeep_bytes = "{CANARY}"\n')
    found = problems_of(
        environ={
            "ATTUNE_TASKS_TIMEOT": CANARY,
            "ATTUNE_TASKS_TIMEOUT": CANARY,
            "ATTUNE_TASKS_ROUTES": CANARY,
            "ATTUNE_TASKS_SECRETS__PROVIDR": CANARY,
            "ATTUNE_TASKS_grace": "1",
        },
        overrides={"grace": -1, "secrets": {"on_fetch_error": CANARY, "fetch_timeout": True}},
        app_settings={"result": CANARY, "routes": {"a.*": ""}},
        directory=tmp_path,
    )
    file = tmp_path / "attune-tasks.toml"
    assert set(found) == {
        "variable ATTUNE_TASKS_TIMEOT: unknown setting; did you mean ATTUNE_TASKS_TIMEOUT?",
        "variable ATTUNE_TASKS_grace: unknown setting; did you mean ATTUNE_TASKS_GRACE?",
        "variable ATTUNE_TASKS_TIMEOUT: timeout: expected a number",
        "variable ATTUNE_TASKS_ROUTES: expected JSON",
        "variable ATTUNE_TASKS_SECRETS__PROVIDR: secrets.providr: unknown setting; did you mean provider?",
        "argument: grace: must be 0.0 or more",
        "argument: secrets.on_fetch_error: expected 'fail' or 'warn'",
        "argument: secrets.fetch_timeout: expected a number",
        "app.conf.attune_tasks: result: expected a mapping",
        "app.conf.attune_tasks: routes.a.*: must not be empty",
        f"{file}: brokerurl: unknown setting; did you mean broker_url?",
        f"{file}: output.keep_bytes: expected a whole number",
    }


def test_app_settings_that_are_no_mapping_are_refused() -> None:
    assert problems_of(app_settings=[1]) == ["app.conf.attune_tasks: expected a mapping"]


def test_variables_for_other_purposes_are_left_alone(tmp_path: Path) -> None:
    environ = {"ATTUNE_TASKS_APP": "x", "ATTUNE_TASKS_TEST_X": "x", "ATTUNE_OTHER": "x"}
    assert load_settings(environ=environ, directory=tmp_path).settings.timeout == 3600


def test_settings_are_frozen_and_two_of_them_do_not_share(tmp_path: Path) -> None:
    one = load_settings(overrides={"timeout": 1}, environ={}, directory=tmp_path).settings
    two = load_settings(environ={}, directory=tmp_path).settings
    assert (one.timeout, two.timeout) == (1, 3600)
    with pytest.raises(ValueError, match="frozen"):
        one.timeout = 2  # type: ignore[misc]


def test_a_layer_that_was_given_is_not_changed(tmp_path: Path) -> None:
    given = {"packs": ["a"], "secrets": {"file": {"path": "x"}}}
    load_settings(overrides=given, environ={}, directory=tmp_path)
    assert given == {"packs": ["a"], "secrets": {"file": {"path": "x"}}}
