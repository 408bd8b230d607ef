"""``attune-tasks run`` and its exit codes, as a shell sees them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.command import Command, eventually, processes_with
from tests.acceptance.conftest import SECRET


def test_a_succeeded_run_shows_the_output_masked_then_one_line(project: Command) -> None:
    done = project.run("run", "t.ok", "-p", "number=3")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "said ***\n"
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("attune-tasks: t.ok succeeded in ")
    assert 'result {"number": 3}' in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_json_prints_the_result_and_nothing_else(project: Command) -> None:
    done = project.run("run", "t.ok", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert (result["status"], result["stdout"]) == ("succeeded", "said ***\n")


def test_a_failed_action_ends_with_1(project: Command) -> None:
    done = project.run("run", "t.fail")
    assert (done.returncode, done.stdout) == (1, "before\n")
    assert "t.fail failed" in done.stderr
    assert "exit code 7" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "t.okay"], "Did you mean t.ok?"),
        (["run", "t.ok", "-p", "numbr=1"], "did you mean number?"),
        (["run", "t.ok", "-p", "number=many"], "number"),
        (["run", "t.ok", "-p", "number=1", "-p", "number=2"], "'number' is given twice"),
        (["run", "t.ok", "-p", "number"], "expected NAME=VALUE"),
        (["run", "t.ok", "--parameters", "[1]"], "is not a JSON object"),
        (["run", "t.ok", "--parameters", '{"number":'], "is not JSON"),
        (["run", "t.ok", "--parameters", "@nowhere.json"], "nowhere.json can't be read"),
        (["run", "t.ok", "--timeout", "0"], "--timeout"),
        (["run", "t.ok", "--packs", "nowhere"], "nowhere"),
        (["run"], "REF"),
        (["rum"], "rum"),
        (["enqueue", "t.okay"], "Did you mean t.ok?"),
        (["enqueue", "t.ok", "-p", "number=many"], "number"),
        (["-A", "nowhere:app", "enqueue", "t.ok"], "no module 'nowhere'"),
        (["packs", "show", "t.okay"], "Did you mean t.ok?"),
        (["secrets", "check", "t.okay"], "Did you mean t.ok?"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_was_wrong(project: Command, arguments: list[str], said: str) -> None:
    done = project.run(*arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_unknown_action_is_told_in_json_too(project: Command) -> None:
    done = project.run("run", "t.okay", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["type"] == "unknown_action"


@pytest.mark.parametrize("arguments", [["-p", f"token={SECRET}"], ["--parameters", json.dumps({"token": SECRET})]])
def test_a_literal_for_a_secret_parameter_is_refused_and_never_repeated(project: Command, arguments: list[str]) -> None:
    done = project.run("run", "t.ok", *arguments)
    assert done.returncode == 2
    assert "app/api#key" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_secrets_that_cannot_be_had_end_with_3(project: Command) -> None:
    done = project.run("run", "t.unlucky")
    assert done.returncode == 3
    assert "app/api#gone" in done.stderr
    (project.folder / "secrets.toml").chmod(0o644)
    done = project.run("run", "t.ok")
    assert done.returncode == 3
    assert "chmod 600" in done.stderr
    assert SECRET not in done.stderr


def test_broken_settings_and_packs_end_with_4(project: Command) -> None:
    yaml = project.folder / "packs" / "t" / "actions" / "ok.yaml"
    yaml.write_text(yaml.read_text(encoding="utf-8") + "colour: blue\n", encoding="utf-8")
    done = project.run("run", "t.ok")
    assert done.returncode == 4
    assert "ok.yaml" in done.stderr
    (project.folder / "attune-tasks.toml").write_text("colour = 1", encoding="utf-8")
    done = project.run("run", "t.ok")
    assert done.returncode == 4
    assert "colour: unknown setting" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_that_takes_too_long_ends_with_124(project: Command) -> None:
    done = project.run("run", "t.wait", "-p", f"file={project.folder / 'ready'}", "--timeout", "0.7")
    assert done.returncode == 124
    assert "t.wait timed out" in done.stderr
    assert done.stdout == "asked to end\n"


def test_parameters_come_from_a_file_and_standard_input_and_single_ones_win(project: Command) -> None:
    (project.folder / "p.json").write_text('{"number": 1, "text": "a"}', encoding="utf-8")
    done = project.run("run", "t.ok", "--json", "--parameters", "@p.json", "-p", "number=2")
    assert json.loads(done.stdout)["result"] == {"number": 2, "text": "a"}
    done = project.run("run", "t.ok", "--json", "--parameters", "-", stdin='{"items": [1]}')
    assert json.loads(done.stdout)["result"] == {"items": [1]}


def test_a_value_is_text_where_the_schema_says_so_and_json_elsewhere(project: Command) -> None:
    pairs = ["-p", "text=12", "-p", "number=12", "-p", 'items=["a"]', "-p", "anything=null"]
    done = project.run("run", "t.ok", "--json", *pairs)
    assert json.loads(done.stdout)["result"] == {"text": "12", "number": 12, "items": ["a"], "anything": None}


def test_packs_and_secrets_can_be_given_from_any_folder(project: Command, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    packs, secrets = str(project.folder / "packs"), str(project.folder / "secrets.toml")
    project.folder = tmp_path / "elsewhere"
    done = project.run("run", "t.ok", "--packs", packs, "--secrets-file", secrets)
    assert (done.returncode, done.stdout) == (0, "said ***\n"), done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_action_and_all_it_started(project: Command, number: signal.Signals) -> None:
    ready = project.folder / "ready"
    process = project.start("run", "t.wait", "-p", f"file={ready}")
    eventually(lambda: ready.exists() and ready.read_text(encoding="utf-8"))
    assert len(processes_with(project.temporary)) > 1
    stdout, stderr = project.interrupt(process, number)
    assert process.returncode == 130
    assert stdout == "asked to end\n"
    assert "t.wait cancelled" in stderr
    assert "Traceback" not in stderr
    assert processes_with(project.temporary) == []
    assert list(project.temporary.iterdir()) == []


def test_a_second_signal_kills_at_once(project: Command) -> None:
    ready = project.folder / "ready"
    process = project.start("run", "t.stubborn", "-p", f"file={ready}")
    eventually(lambda: ready.exists() and ready.read_text(encoding="utf-8"))
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "once more" in process.stderr.readline()
    project.interrupt(process, signal.SIGINT)  # without it, the grace is ten seconds
    assert process.returncode == 130
    assert processes_with(project.temporary) == []
    assert list(project.temporary.iterdir()) == []


def test_under_nohup_the_action_ignores_no_signal(project: Command) -> None:
    actions = project.folder / "packs" / "t" / "actions"
    (actions / "masks.sh").write_text("grep SigIgn /proc/self/status\n", encoding="utf-8")
    metadata = "ref: t.masks\nrunner_type: shell\nentry_point: masks.sh\n"
    (actions / "masks.yaml").write_text(metadata, encoding="utf-8")
    command = f"trap '' HUP INT QUIT TERM; exec {sys.executable} -m attune_tasks.cli run t.masks"
    done = subprocess.run(
        ["bash", "-c", command], cwd=project.folder, env=project.environment, capture_output=True, text=True, check=True
    )
    ignored = int(done.stdout.split()[1], 16)
    assert [number for number in (1, 2, 3, 15) if ignored & 1 << number - 1] == []


def test_where_sigchld_is_ignored_a_failed_action_is_still_a_failed_one(project: Command) -> None:
    start = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, '-m', 'attune_tasks.cli', 'run', 't.fail'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", start],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
