"""Making a provider from the settings."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attune_tasks.errors import PluginError, SettingsError
from attune_tasks.secrets import FileSecretProvider, create_provider

PLUGIN = """
from attune_tasks.errors import SettingsError
class Provider:
    name = "other"
    @classmethod
    def from_settings(cls, options):
        if options.get("token") == "refused":
            raise SettingsError("the token is of the wrong kind")
        made = cls()
        made.length = len(options["token"])
        if made.length > 7:
            raise ValueError(options["token"])
        return made
"""


def settings(path: Path | None = None, **options: Mapping[str, Any]) -> SimpleNamespace:
    """Give what `Settings.secrets` looks like from here."""
    return SimpleNamespace(file=SimpleNamespace(path=path), options=options)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with the provider `other`."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "attune_test_provider.py").write_text(PLUGIN)
    monkeypatch.delitem(sys.modules, "attune_test_provider", raising=False)
    folder = tmp_path / "other_provider-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: other-provider\nVersion: 1.0\n")
    entry = "[attune_tasks.secret_providers]\nother = attune_test_provider:Provider\n"
    (folder / "entry_points.txt").write_text(entry)


def test_the_file_provider_is_found_by_its_entry_point(tmp_path: Path) -> None:
    made = create_provider("file", settings(tmp_path / "s.toml"))
    assert isinstance(made, FileSecretProvider)
    with pytest.raises(SettingsError, match=r"secrets\.file\.path is not set"):
        create_provider("file", settings())


def test_another_distributions_provider_gets_its_own_options(other: None) -> None:
    made: Any = create_provider("other", settings(other={"token": "abc"}))
    assert made.length == 3


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(PluginError, match="no secret provider is named 'fiel'; did you mean 'file'"):
        create_provider("fiel", settings())


def test_what_a_provider_says_about_its_options_is_passed_on_and_what_it_fails_with_is_not(other: None) -> None:
    with pytest.raises(SettingsError, match="of the wrong kind"):
        create_provider("other", settings(other={"token": "refused"}))
    with pytest.raises(PluginError, match=r"from secrets\.options\.other: ValueError") as caught:
        create_provider("other", settings(other={"token": "hunter2-hunter2"}))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
    with pytest.raises(PluginError, match="KeyError"):
        create_provider("other", settings())
