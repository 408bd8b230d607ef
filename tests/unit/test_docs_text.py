"""README and docs: every block is tested, every link leads somewhere, every name that they use exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from attune_tasks import errors
from attune_tasks.cli import exits
from attune_tasks.packs.models import ActionFile, PackFile
from attune_tasks.settings import Settings
from tests.django_site import set_up_django
from tests.docs_blocks import PAGES, ROOT, all_blocks, block
from tests.docs_reference import generated, written

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_TEST = re.compile(r"tests/[\w/]+\.py::\w+")
_DOTTED = re.compile(r"`(attune_tasks(?:\.\w+)+)")
_PERMISSIONS = {
    "attune_tasks.view_execution",
    "attune_tasks.delete_execution",
    "attune_tasks.cancel_execution",
    "attune_tasks.check_secrets",
}
_NO_MODULES = frozenset({"attune_tasks.secret_providers", "attune_tasks.run_action", "attune_tasks.run", *_PERMISSIONS})
"""A group of entry points, the task's name for Celery, and permissions in Django, of which `run:…` are some."""
_OTHER_PAGES = tuple(ROOT / name for name in ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"))


def test_every_block_has_a_name_of_its_own_and_a_test_that_uses_it() -> None:
    assert [each.place for each in all_blocks() if not each.name] == []
    names = Counter(each.name for each in all_blocks())
    assert [name for name, count in names.items() if count > 1] == []
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_docs*.py"))
    used = set(re.findall(r'(?:block|\.set)\(\s*"([a-z0-9-]+)"\s*\)', tests))
    assert used == set(names)


def test_no_block_hides_from_its_test_by_indentation() -> None:
    for page in PAGES:
        outside = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        assert not re.search(r"\n\n(?:    |\t)", outside), page


def _anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *_OTHER_PAGES], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_every_page_of_the_docs_is_linked_from_the_readme() -> None:
    links = _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    linked = {link.partition("#")[0] for link in links}
    assert {str(page.relative_to(ROOT)) for page in PAGES[1:]} <= linked


def test_every_test_that_the_docs_name_exists() -> None:
    named = {test for page in PAGES for test in _TEST.findall(page.read_text(encoding="utf-8"))}
    assert len(named) > 20
    missing = []
    for test in sorted(named):
        path, _, name = test.partition("::")
        file = ROOT / path
        tree = ast.parse(file.read_text(encoding="utf-8") if file.exists() else "")
        if name not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            missing.append(test)
    assert missing == []


def test_every_name_of_the_package_that_the_docs_use_exists() -> None:
    set_up_django()  # some of them are models
    for page in PAGES:
        for dotted in _DOTTED.findall(page.read_text(encoding="utf-8")):
            if dotted in _NO_MODULES:
                continue
            parent, _, name = dotted.rpartition(".")
            module = import_module(parent)
            if not hasattr(module, name):
                import_module(dotted)


def test_every_module_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    missing = [name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "attune_tasks"))]
    assert missing == []


def _first_cells(text: str, heading: str) -> set[str]:
    """Give the names in backticks in the first column of the table that follows a heading."""
    _, _, rest = text.partition(f"\n{heading}\n")
    rows = re.search(r"^\|.*?(?=\n\n)", rest, re.DOTALL | re.MULTILINE)
    assert rows, heading
    return {name for row in rows[0].splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def test_every_key_of_a_pack_and_of_an_action_is_explained_and_no_other() -> None:
    text = (ROOT / "docs" / "metadata.md").read_text(encoding="utf-8")
    assert _first_cells(text, "## The pack's file") == set(PackFile.model_fields)
    assert _first_cells(text, "## An action's file") == set(ActionFile.model_fields)


def test_every_kind_of_error_is_explained() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    classes = [getattr(errors, name) for name in errors.__all__ if name != "ActionFailed"]
    codes = {each.code for each in classes} - {"error", "result_timeout", "execution_exists"}  # no result has these
    package = ROOT / "attune_tasks"
    sources = [package / "runtimes" / "base.py", package / "runtimes" / "_child" / "attune_child.py"]
    code = "".join(source.read_text(encoding="utf-8") for source in sources)
    codes |= set(re.findall(r'"type": "(\w+)"', code)) | set(re.findall(r'problem = "(\w+)"', code))
    assert "launcher_lost" in codes
    assert "result_lost" in codes
    assert sorted(code for code in codes if f"`{code}`" not in text) == []


def test_every_setting_that_the_docs_name_exists() -> None:
    groups = {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if hasattr(field.annotation, "model_fields")
    }
    assert {"secrets", "launchers", "limits"} <= set(groups)
    for page in PAGES:
        for group, name in re.findall(rf"`({'|'.join(groups)})\.(\w+)", page.read_text(encoding="utf-8")):
            model = groups[group]
            assert name in getattr(model, "model_fields", {}) or name == "toml", f"{page.name}: {group}.{name}"


@pytest.mark.parametrize("name", ["settings", "commands"])
def test_the_tables_of_settings_and_of_commands_are_what_make_reference_writes(name: str) -> None:
    assert written(name) == generated(name), "type: make reference"


def test_every_setting_and_every_command_has_a_line() -> None:
    settings, commands = generated("settings"), generated("commands")
    for name in ("packs", "secrets.vault.approle.role_id", "live.keep_seconds", "environment.path"):
        assert f"| `{name}` |" in settings
    for name in ("run", "secrets check", "packs validate", "leak-check"):
        assert f"\n## attune-tasks {name}\n" in commands


def test_every_exception_has_its_code_in_the_table_or_is_a_code_of_a_result() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `?(\w+)`? \|", text.partition("## Exceptions")[2], re.MULTILINE))
    assert rows.pop("ActionFailed") == "none"
    assert {name: getattr(errors, name).code for name in rows} == rows
    for name in set(errors.__all__) - set(rows) - {"ActionFailed", "AttuneTasksError"}:
        assert f"`{getattr(errors, name).code}`" in text, name


def test_every_name_of_the_api_page_exists_and_every_public_name_is_there() -> None:
    import attune_tasks

    set_up_django()
    named = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    for dotted in named:
        parent, _, name = dotted.rpartition(".")
        if not hasattr(import_module(parent), name):
            import_module(dotted)
    listed = {dotted.removeprefix("attune_tasks.") for dotted in named}
    assert set(attune_tasks.__all__) - {"__version__", "AttuneTasksError"} <= listed


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert told == {exits.SUCCEEDED, *exits._BY_STATUS.values(), *exits._BY_ERROR.values(), exits.ERROR}


def test_the_readme_says_what_it_must() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "not affiliated with the Attune project" in text
    assert "JSON on standard input is not new" in text
    assert "one trust domain" in text
    for name in ("example-celery", "example-django-settings", "example-django-views", "example-flask"):
        assert sum(each.name == name for each in all_blocks()) == 1
    assert text.index("pip install attune-tasks") < text.index("make demo")


def test_the_commands_for_a_checkout_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [line.removeprefix("$ make ") for line in block("readme-make").splitlines()]
    assert commands == ["demo", "test"]
    assert all(f"\n{command}: " in makefile for command in commands)


def test_the_commands_without_a_checkout_are_those_of_the_distribution() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    install, demo = block("readme-pip").splitlines()
    assert install == f"$ pip install {project['name']}"
    assert demo.split()[1] in project["scripts"]


def test_the_readmes_example_for_celery_alone_is_the_file() -> None:
    assert (ROOT / "examples" / "celery_app.py").read_text(encoding="utf-8") == block("example-celery")
