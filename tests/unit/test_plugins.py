"""Plugins: found by entry points, refused loudly, one broken one never in the way of another."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attune_tasks.errors import PluginError
from attune_tasks.plugins import PluginGroup

GROUP = "attune_tasks.test_plugins"
Install = Callable[[str, dict[str, str]], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Give a function that puts a distribution with entry points on sys.path."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(distribution: str, entries: dict[str, str]) -> None:
        folder = tmp_path / f"{distribution.replace('-', '_')}-1.5.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        lines = [f"[{GROUP}]", *(f"{name} = {value}" for name, value in entries.items())]
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")

    return make


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """Write a module that is forgotten again after the test."""
    (folder / f"{name}.py").write_text(text)
    monkeypatch.delitem(sys.modules, name, raising=False)


def test_plugins_of_several_distributions_are_found(install: Install) -> None:
    install("first-dist", {"zeta": "json:dumps"})
    install("second-dist", {"alpha": "json:loads"})
    group = PluginGroup(GROUP, "runtime")
    assert group.names() == ("alpha", "zeta")
    assert group.load("alpha") is __import__("json").loads
    assert group.distribution("zeta") == "first-dist 1.5"
    assert group.problems() == ()


def test_an_unknown_name_gets_the_nearest_and_the_known_ones(install: Install) -> None:
    install("first-dist", {"python": "json:dumps", "shell": "json:loads"})
    with pytest.raises(
        PluginError, match=r"no runtime is named 'pyton'; did you mean 'python'\? installed: python, sh"
    ):
        PluginGroup(GROUP, "runtime").load("pyton")


def test_without_any_plugin_the_text_says_none() -> None:
    with pytest.raises(PluginError, match="installed: none"):
        PluginGroup("attune_tasks.no_such_group", "runtime").load("x")


def test_a_name_that_two_distributions_claim_is_refused_naming_both(install: Install) -> None:
    install("first-dist", {"twice": "json:dumps", "fine": "json:dumps"})
    install("second-dist", {"twice": "json:loads"})
    group = PluginGroup(GROUP, "runtime")
    for ask in (group.load, group.distribution):
        with pytest.raises(PluginError, match=r"first-dist 1\.5 and second-dist 1\.5"):
            ask("twice")
    assert len(group.problems()) == 1
    assert "first-dist 1.5 and second-dist 1.5" in group.problems()[0]
    assert group.load("fine") is __import__("json").dumps


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError"),
        ("raise ValueError('the token is hunter2')", "ValueError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("def (", "SyntaxError"),
        ("other = 1", "AttributeError"),
    ],
)
def test_a_plugin_that_fails_at_import_is_named_and_the_others_work(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cause: str
) -> None:
    module(tmp_path, monkeypatch, "attune_test_broken", text)
    install("broken-dist", {"broken": "attune_test_broken:wanted"})
    install("good-dist", {"good": "json:dumps"})
    group = PluginGroup(GROUP, "secret provider")
    with pytest.raises(PluginError) as caught:
        group.load("broken")
    assert "'broken' (attune_test_broken:wanted, from broken-dist 1.5)" in str(caught.value)
    assert cause in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert group.problems() == (str(caught.value),)
    assert group.load("good") is __import__("json").dumps


def test_distributions_are_scanned_once_per_object(install: Install) -> None:
    group = PluginGroup(GROUP, "runtime")
    assert group.names() == ()
    install("late-dist", {"late": "json:dumps"})
    assert group.names() == ()
    assert PluginGroup(GROUP, "runtime").names() == ("late",)
