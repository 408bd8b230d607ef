"""The fixture `leak_scanner`, as the tests of a user's own packs have it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.leak_runs import write_action
from tests.unit.test_project import heavy_modules_after

pytest_plugins = ["pytester"]

HONEST = 'get_secret -v canary canary\necho "it has ${#canary} letters"\nset_result \'{"done": true}\'\nsleep 0.5\n'
LEAKY = {
    "temporary folders": 'get_secret -v canary canary\necho "$canary" >credentials\nsleep 0.5\n',
    "output": 'get_secret -v canary canary\nrev <<<"$canary"\n',
    "result": 'get_secret -v canary canary\nset_result "\\"$(rev <<<"$canary")\\""\n',
    "error": "def run(params):\n    raise RuntimeError(get_secret('canary')[::-1])\n",
}
CANARY = re.compile(r"(?<![0-9a-f])(?:c[0-9a-f]{12}|[0-9a-f]{12}c)(?![0-9a-f])")


def run(pytester: pytest.Pytester, test: str, *options: str) -> str:
    """Run a test module in a pytest of its own; give all that it printed, in which no canary may stand."""
    pytester.makepyfile(test_it=test)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)
    printed = done.stdout.str() + done.stderr.str()
    assert CANARY.findall(printed) == [], printed
    return printed


CLEAN = """
def test_it(leak_scanner):
    report = leak_scanner.run("own.it", packs="packs")
    assert report.result.status == "succeeded"
    report.assert_clean()
"""


def test_an_honest_action_is_clean(pytester: pytest.Pytester) -> None:
    write_action(pytester.path / "packs", "it", HONEST)
    printed = run(pytester, CLEAN + "    print(report)\n", "-s")
    assert "1 passed" in printed
    for surface in ("result", "output", "error", "temporary folders", "/dev/shm", "working folder", "log records"):
        assert re.search(rf"^  {surface} +clean", printed, re.MULTILINE), printed


@pytest.mark.parametrize("surface", LEAKY)
def test_a_leak_fails_the_test_with_its_place_and_no_value(surface: str, pytester: pytest.Pytester) -> None:
    runner = "python" if surface == "error" else "shell"
    write_action(pytester.path / "packs", "it", LEAKY[surface], runner=runner)
    test = CLEAN.replace(
        '    assert report.result.status == "succeeded"\n', "    shown = (report, report.result, report.rows)\n"
    )
    printed = run(pytester, test, "--showlocals", "--log-level=DEBUG", "-vv")
    assert "1 failed" in printed
    assert re.search(rf"^E +AssertionError: own.it leaks:\n(?:E .*\n)*E +{surface} +LEAK", printed, re.MULTILINE), (
        printed
    )
    assert re.search(r"^E +canary \((plain|reversed)\) in ", printed, re.MULTILINE), printed
    assert "leak_scanner.py:" not in printed, "the place of the failure is the test's own line"


def test_a_program_of_the_action_is_named_with_its_command_line_masked(pytester: pytest.Pytester) -> None:
    script = 'get_secret -v canary canary\nbash -c \'exec 5>kept; echo "$1" >&5; sleep 0.6; :\' it "$canary"\n'
    write_action(pytester.path / "packs", "it", script)
    printed = run(pytester, CLEAN, "-l")
    assert re.search(r"canary \(plain\) in \S+/kept, by: bash -c .* it \*\*\*", printed), printed


def test_the_log_is_looked_at_and_what_stands_there_is_masked(pytester: pytest.Pytester) -> None:
    write_action(pytester.path / "packs", "it", HONEST)
    test = """
import logging, threading, time
from attune_tasks.leaks.canary_secrets import CanarySecrets

def test_it(leak_scanner, monkeypatch):
    fetch = CanarySecrets.fetch_secrets_for_action
    def tell(*args):
        values = fetch(*args)
        logging.getLogger("own.code").debug("fetched %s", values["canary"], extra={"value": values["canary"]})
        return values
    monkeypatch.setattr(CanarySecrets, "fetch_secrets_for_action", tell)
    level, handlers = logging.getLogger().level, logging.getLogger().handlers[:]
    report = leak_scanner.run("own.it", packs="packs")
    assert (logging.getLogger().level, logging.getLogger().handlers) == (level, handlers)
    report.assert_clean()
"""
    printed = run(pytester, test, "-l", "--log-level=DEBUG")
    assert re.search(r"log records +LEAK\n.*canary \(plain\) in a record of the logger own.code", printed), printed
    assert "fetched ***" in printed


def test_an_action_that_was_not_run_is_not_clean(pytester: pytest.Pytester) -> None:
    write_action(pytester.path / "packs", "it", HONEST)
    test = """
import pytest

@pytest.mark.parametrize("more", [{"ref": "own.other"}, {"secrets": {"canary": "tiny"}}, {"secrets": {"no": "canary"}}])
def test_it(leak_scanner, more):
    report = leak_scanner.run(**{"ref": "own.it", "packs": "packs", **more})
    with pytest.raises(AssertionError, match="was not run"):
        report.assert_clean()
"""
    assert "3 passed" in run(pytester, test)


def test_secrets_of_the_tests_own_secret_parameters_and_find(pytester: pytest.Pytester) -> None:
    more = "parameters:\n  key: {type: string, secret: true, required: true, allow: ['x#y']}\n"
    script = 'get_secret -v key key\nget_secret -v canary canary\necho "${#key} ${canary:0:3}"\n'
    write_action(pytester.path / "packs", "it", script, more=more)
    test = """
def test_it(leak_scanner):
    own = "-".join(["own", "form", "4711"])  # this file lies in a temporary folder, which is looked at
    report = leak_scanner.run("own.it", packs=["packs"], secrets={"canary": own})
    assert report.result.stdout == "13 own\\n"
    assert [found[1:] for found in leak_scanner.find("x " + own)] == [("canary", "plain")]
    assert [found[1:] for found in leak_scanner.find(own.encode().hex().encode())] == [("canary", "hex")]
    assert leak_scanner.find("another text") == []
    report.assert_clean()
"""
    assert "1 passed" in run(pytester, test)


def test_the_projects_settings_are_taken_where_no_packs_are_named(pytester: pytest.Pytester) -> None:
    write_action(pytester.path / "mine", "it", HONEST)
    (pytester.path / "attune-tasks.toml").write_text('packs = ["mine"]\n', encoding="utf-8")
    assert "1 passed" in run(pytester, CLEAN.replace(', packs="packs"', ""))


def test_a_changed_file_beside_the_packs_is_a_leak(pytester: pytest.Pytester) -> None:
    write_action(pytester.path / "packs", "it", f'get_secret canary >>"{pytester.path}/left.log"\n')
    printed = run(pytester, CLEAN)
    assert re.search(r"changed files +LEAK", printed), printed


def test_the_plugin_loads_nothing_until_it_is_used_and_can_be_turned_off(pytester: pytest.Pytester) -> None:
    assert heavy_modules_after("import attune_tasks.pytest_plugin") == set()
    write_action(pytester.path / "packs", "it", HONEST)
    assert "fixture 'leak_scanner' not found" in run(pytester, CLEAN, "-p", "no:attune_tasks")
    done = subprocess.run(
        [sys.executable, "-c", "import attune_tasks.pytest_plugin, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"celery", "kombu", "redis", "attune_tasks.leaks"} & set(done.stdout.split())


def test_a_value_that_pytest_printed_would_be_seen_here(pytester: pytest.Pytester) -> None:
    write_action(pytester.path / "packs", "it", HONEST)
    test = CLEAN + "    values = list(leak_scanner._seeker._owners)\n    assert values == []\n"
    with pytest.raises(AssertionError, match="1 failed"):
        run(pytester, test)
