"""URLs that stand in files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from attune_tasks.errors import SettingsError
from attune_tasks.settings import load_settings

CANARY = "hunter2-canary"
URL = f"redis://:{CANARY}@redis.example:6379/0"


def url_file(folder: Path, text: str = f"{URL}\n", mode: int = 0o600, name: str = "broker-url") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def problems_of(folder: Path, **values: object) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(overrides=values, environ={}, directory=folder)
    assert CANARY not in str(caught.value) + repr(caught.value) + repr(caught.value.__context__)
    return tuple(caught.value.problems)


@pytest.mark.parametrize("setting", ["broker_url", "result_backend", "state_url"])
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_url_comes_from_the_file_that_is_named_for_it(tmp_path: Path, setting: str, mode: int) -> None:
    path = url_file(tmp_path, mode=mode)
    (tmp_path / "attune-tasks.toml").write_text(f'{setting}_file = "broker-url"\n')
    loaded = load_settings(environ={}, directory=tmp_path)
    assert getattr(loaded.settings, setting) == URL
    assert loaded.origins[setting] == str(path)
    assert loaded.masked()[setting] == "redis://:***@redis.example:6379/0"


def test_a_variable_may_name_the_file_and_no_warning_says_that_it_held_the_secret(tmp_path: Path) -> None:
    path = url_file(tmp_path)
    loaded = load_settings(environ={"ATTUNE_TASKS_BROKER_URL_FILE": str(path)}, directory=tmp_path)
    assert loaded.settings.broker_url == URL
    assert loaded.warnings == ()


def test_the_stronger_place_wins_whichever_of_the_two_it_names(tmp_path: Path) -> None:
    path = url_file(tmp_path)
    (tmp_path / "attune-tasks.toml").write_text(f'broker_url_file = "{path}"\nresult_backend = "redis://toml"\n')
    environ = {"ATTUNE_TASKS_BROKER_URL": "redis://variable", "ATTUNE_TASKS_RESULT_BACKEND_FILE": str(path)}
    settings = load_settings(environ=environ, directory=tmp_path).settings
    assert (settings.broker_url, settings.result_backend) == ("redis://variable", URL)


def test_one_place_names_one_of_the_two(tmp_path: Path) -> None:
    path = url_file(tmp_path)
    assert problems_of(tmp_path, broker_url="redis://other", broker_url_file=path) == (
        "argument: broker_url_file: broker_url is set there, too: name one of the two",
    )


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_file_that_is_open_to_all_is_refused(tmp_path: Path, mode: int) -> None:
    path = url_file(tmp_path, mode=mode)
    assert problems_of(tmp_path, broker_url_file=path) == (
        f"argument: broker_url_file: {path} is open to all users (mode {mode:04o}): run `chmod o= {path}`",
    )


@pytest.mark.parametrize("text", ["", f"{CANARY} {CANARY}\n", f"redis://{CANARY}é\n", f"{CANARY}\x00"])
def test_what_is_no_url_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = url_file(tmp_path, text)
    assert problems_of(tmp_path, broker_url_file=path) == (
        f"argument: broker_url_file: {path} does not hold one URL of printable ASCII",
    )


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "away"
    (problem,) = problems_of(tmp_path, state_url_file=path)
    assert problem == f"argument: state_url_file: {path} can't be opened: No such file or directory"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, state_url_file=tmp_path)
    assert problem == f"argument: state_url_file: {tmp_path} can't be opened: Is a directory"


def test_a_value_that_is_no_path_is_the_models_to_refuse(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, broker_url_file=7)
    assert problem.startswith("argument: broker_url_file: ")
