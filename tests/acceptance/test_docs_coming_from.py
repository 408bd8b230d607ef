"""docs/coming-from/: what is before and what is after, run as it stands there.

Airflow, StackStorm and ansible-runner are not installed here: what is before runs with stand-ins, which do with it what
those do: start bash or a program with these variables. All three were read, and ansible-runner 2.4.3 was tried.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from attune_tasks.packs import PackRegistry
from attune_tasks.testing import captured, fake_result, run_local
from tests.acceptance.command import Command
from tests.acceptance.docs_terminal import Terminal, as_pattern
from tests.acceptance.docs_tools import Looks, http_server
from tests.acceptance.test_docs_actions import write_action
from tests.docs_blocks import ROOT, block

KEY = "a key of the tests, 91ab"
MONTH = {"month": "2026-04"}


def run_after(packs: Path, metadata: str, script: str, **more: str) -> Any:
    """Run what is after."""
    return run_local(write_action(packs, metadata, script), {**MONTH, **more}, packs=packs, secrets={"api_key": KEY})


def module(monkeypatch: pytest.MonkeyPatch, name: str, **names: object) -> None:
    """Have a module that can be imported, with all that it is in."""
    parts = name.split(".")
    for number in range(1, len(parts) + 1):
        path = ".".join(parts[:number])
        if path not in sys.modules:
            monkeypatch.setitem(sys.modules, path, ModuleType(path))
    vars(sys.modules[name]).update(names)


def python(folder: Path, code: str, **environment: str) -> str:
    """Run a program of its own: a Celery app or a shared task stays in the process that made it."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_subprocess_has_its_key_in_its_environment_and_an_action_has_not(tmp_path: Path) -> None:
    look = "\nprint(open('/proc/self/environ').read())\n"
    (tmp_path / "close_month.py").write_text(block("from-subprocess-script") + look, encoding="utf-8")
    (tmp_path / "tasks.py").write_text(block("from-subprocess-task"), encoding="utf-8")
    call = "import sys; sys.path.insert(0, '.'); import tasks; print(tasks.close_month('2026-04'))"
    before = python(tmp_path, call, BANK_API_KEY=KEY)
    said = f"closing 2026-04 with a key of {len(KEY)} characters\n"
    assert before.startswith(said)
    assert f"API_KEY={KEY}" in before
    action = block("from-subprocess-action") + "    import os, subprocess\n    subprocess.run(['env'])\n"
    after = run_after(tmp_path, block("from-subprocess-metadata"), action)
    assert after.succeeded, after
    assert said in after.stdout
    assert "ATTUNE_EXEC_ID=" in after.stdout, "the same look sees variables"
    assert "***" not in after.stdout, "no mask: the value was not there"
    assert KEY not in after.stdout


def test_the_call_after_subprocess_prints_what_the_action_has_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with captured() as calls, fake_result("billing.close_month", stdout="closing\n"):
        exec(block("from-subprocess-enqueue"), {})  # noqa: S102 - the page's own
    assert [(call.action_ref, call.parameters) for call in calls] == [("billing.close_month", MONTH)]
    assert capsys.readouterr().out == "closing\n"


def test_an_action_of_stackstorms_becomes_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    logger = SimpleNamespace(info=lambda text, *values: logged.append(text % values))
    module(monkeypatch, "st2common.runners.base_action", Action=type("Action", (), {"logger": logger}))
    before: dict[str, Any] = {}
    exec(block("from-stackstorm-script"), before)  # noqa: S102 - the page's own
    is_good, result = before["CloseMonth"]().run("2026-04", KEY)
    after = run_after(tmp_path, block("from-stackstorm-metadata-after"), block("from-stackstorm-action"))
    assert (is_good, result) == (after.succeeded, after.result) == (True, {"closed": "2026-04", "signed": True})
    assert [f"{line}\n" for line in logged] == [after.stdout]


def test_what_has_to_change_in_an_action_of_stackstorms_is_named(command: Command) -> None:
    terminal = Terminal(command)
    actions = terminal.folder / "packs" / "billing" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: billing\n", encoding="utf-8")
    (actions / "close_month.py").write_text(block("from-stackstorm-script"), encoding="utf-8")
    (actions / "close_month.yaml").write_text(block("from-stackstorm-metadata"), encoding="utf-8")
    console = block("from-stackstorm-validate")
    said = terminal.type(console, check=False)
    assert re.fullmatch(as_pattern(console), said), said
    metadata = f"ref: billing.close_month\n{block('from-stackstorm-metadata')}"
    (actions / "close_month.yaml").write_text(metadata, encoding="utf-8")
    said = terminal.type(console, check=False)
    assert "there is no runtime python-script" in said
    assert "did you mean python?" in said
    (actions / "close_month.yaml").write_text(metadata.replace("python-script", "python"), encoding="utf-8")
    assert "a secret parameter lists the references it may be" in terminal.type(console, check=False)


def test_what_stackstorm_calls_flat_parameters_is_read(tmp_path: Path) -> None:
    metadata = yaml.safe_load(block("from-stackstorm-metadata-after"))
    assert "position" in metadata["parameters"]["month"]
    write_action(tmp_path, block("from-stackstorm-metadata-after"), "")
    assert PackRegistry.load([tmp_path], runtimes={"python"}).get("billing.close_month").ref == metadata["ref"]


def test_curl_shows_its_key_to_ps_before_and_not_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operators: list[dict[str, Any]] = []

    class Dag:
        def __init__(self, name: str, *, schedule: str) -> None:
            assert (name, schedule) == ("close_month", "0 6 1 * *")

        def __enter__(self) -> None:
            """Do nothing."""

        def __exit__(self, *_: object) -> None:
            """Do nothing."""

    module(monkeypatch, "airflow.sdk", DAG=Dag)
    module(
        monkeypatch, "airflow.providers.standard.operators.bash", BashOperator=lambda **given: operators.append(given)
    )
    exec(block("from-airflow-dag"), {})  # noqa: S102 - the page's own
    (operator,) = operators
    looks = Looks(tmp_path / "seen")
    with http_server(looks) as url:
        values = {"{{ var.value.bank_api_key }}": KEY, "{{ var.value.bank_url }}": url, "{{ ds[:7] }}": "2026-04"}
        env = {name: values[template] for name, template in operator["env"].items()}
        assert operator["append_env"]
        subprocess.run(["bash", "-c", operator["bash_command"]], env=os.environ | env, check=True, capture_output=True)
    assert looks.sent == [f"Bearer {KEY}"]
    assert f"Authorization: Bearer {KEY}" in looks.seen(), "before, it is an argument"
    assert f"API_KEY={KEY}" in looks.seen(), "and a variable"
    looks = Looks(tmp_path / "seen")
    with http_server(looks) as url:
        after = run_after(tmp_path, block("from-airflow-metadata"), block("from-airflow-action"), url=url)
    assert after.succeeded, after
    assert looks.sent == [f"Bearer {KEY}"]
    assert "close_month.sh" in looks.seen(), "the same look sees arguments"
    assert KEY not in looks.seen()


def test_the_month_is_this_one_where_beat_gives_none(tmp_path: Path) -> None:
    looks = Looks(tmp_path / "seen")
    with http_server(looks) as url:
        ref = write_action(tmp_path, block("from-airflow-metadata"), f"set -x\n{block('from-airflow-action')}")
        after = run_local(ref, {"url": url}, packs=tmp_path, secrets={"api_key": KEY})
    assert re.search(r"/close\?month=\d{4}-\d\d'$", after.stderr, re.MULTILINE), after


def test_the_schedule_in_place_of_a_dag_sends_the_action(tmp_path: Path) -> None:
    show = "import json\n(entry,) = app.conf.beat_schedule.values()\n"
    show += "print(json.dumps([entry['task'], entry['args'], entry['options']]))\n"
    task, arguments, options = json.loads(python(tmp_path, block("from-airflow-schedule") + show))
    assert (task, arguments) == ("attune_tasks.run_action", ["billing.close_month", {}])
    assert options == {"expires": 86400}


def test_a_step_of_a_dag_fails_as_its_action_does() -> None:
    step: dict[str, Any] = {}
    exec(block("from-airflow-step"), step)  # noqa: S102 - the page's own
    with captured(), fake_result("billing.close_month", {"closed": "2026-04"}):
        assert step["close"]("2026-04") == {"closed": "2026-04"}
    with (
        captured(),
        fake_result("billing.close_month", status="timed_out"),
        pytest.raises(RuntimeError, match="timed_out: timed_out"),
    ):
        step["close"]("2026-04")


def test_what_ansible_runner_ran_is_an_action_that_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "close_month.py").write_text(block("from-runner-script"), encoding="utf-8")

    def run_command(executable_cmd: str, cmdline_args: list[str], **given: Any) -> tuple[str, str, int]:
        assert given.keys() == {"envvars", "private_data_dir", "host_cwd", "quiet"}
        command = [executable_cmd, *cmdline_args]
        env = os.environ | given["envvars"]
        done = subprocess.run(command, env=env, cwd=given["host_cwd"], capture_output=True, text=True, check=False)
        return done.stdout, done.stderr, done.returncode

    module(monkeypatch, "ansible_runner", run_command=run_command)
    before: dict[str, Any] = {"api_key": KEY}
    exec(block("from-runner-call"), before)  # noqa: S102 - the page's own
    after = run_after(tmp_path, block("from-runner-metadata"), block("from-runner-action"))
    assert (before["output"], before["code"]) == (after.stdout, after.exit_code)
    assert (before["output"], before["code"]) == (f"closing 2026-04 with a key of {len(KEY)} characters\n", 0)
    with captured(), fake_result("billing.close_month", stdout=after.stdout):
        asked: dict[str, Any] = {}
        exec(block("from-runner-enqueue"), asked)  # noqa: S102 - the page's own
    assert (asked["output"], asked["errors"], asked["code"]) == (after.stdout, "", 0)
