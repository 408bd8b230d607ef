"""The commands which show something."""

from __future__ import annotations

import re
import time

import pytest

from tests.acceptance.command import Command
from tests.acceptance.conftest import SECRET
from tests.vault import Vault

PASSWORD = "pa55word-in-a-url"


def test_help_and_version_say_what_they_should(command: Command) -> None:
    done = command.run("--help")
    assert done.returncode == 0
    for name in ("demo", "init", "run", "enqueue", "packs", "runtimes", "secrets", "config", "doctor"):
        assert f"\n  {name} " in done.stdout
    assert command.run("--version").stdout.startswith("attune-tasks, version 0.2.0")


def test_packs_are_listed_shown_and_validated(project: Command) -> None:
    listed = project.run("packs", "list")
    assert listed.returncode == 0
    assert "t.ok        python  The action ok\n" in listed.stdout
    shown = project.run("packs", "show", "t.ok")
    assert shown.returncode == 0
    for text in ("number", "integer", "app/api#key", "one of app/api#key, app/api#other", "ok.yaml"):
        assert text in shown.stdout
    assert "t.fail" in project.run("packs", "show", "t", "packs").stdout
    assert project.run("packs", "validate", "packs").stdout == "1 pack with 5 actions: no fault\n"


def test_validate_names_all_faults_with_file_and_line(project: Command) -> None:
    for name in ("ok", "fail"):
        yaml = project.folder / "packs" / "t" / "actions" / f"{name}.yaml"
        yaml.write_text("colour: blue\n" + yaml.read_text(encoding="utf-8"), encoding="utf-8")
    done = project.run("packs", "validate")
    assert (done.returncode, done.stdout) == (4, "")
    assert "ok.yaml:1: colour: unknown key" in done.stderr
    assert "fail.yaml:1: colour: unknown key" in done.stderr


def test_runtimes_are_listed_with_their_distribution(command: Command) -> None:
    done = command.run("runtimes")
    assert done.returncode == 0
    for name in ("executable", "python", "shell"):
        assert any(
            line.split()[:2] == [name, "ok"] and "attune-tasks 0.2.0" in line for line in done.stdout.splitlines()
        )


def test_a_runtime_that_cannot_be_used_is_told_and_ends_with_4(project: Command) -> None:
    done = project.run("runtimes", env={"ATTUNE_TASKS_RUNTIMES": '{"shell": {"bash": "no-such-bash"}}'})
    assert done.returncode == 4
    assert any(line.startswith("shell       FAIL") and "no-such-bash" in line for line in done.stdout.splitlines())


def test_secrets_check_tells_found_from_missing_and_never_a_value(project: Command) -> None:
    done = project.run("secrets", "check", "t.ok")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["key", "app/api#key", "found"]
    assert rows[1] == ["-p", "token", "app/api#key", "found"]
    assert rows[2][:4] == ["-p", "token", "app/api#other", "MISSING"]
    assert done.returncode == 3
    assert SECRET not in done.stdout + done.stderr


def test_secrets_check_ends_with_0_where_all_that_is_required_is_there(project: Command) -> None:
    secrets = project.folder / "secrets.toml"
    secrets.write_text(secrets.read_text(encoding="utf-8") + 'other = "something"\n', encoding="utf-8")
    assert project.run("secrets", "check", "t.ok").returncode == 0
    assert project.run("secrets", "check", "t.unlucky").returncode == 3
    yaml = project.folder / "packs" / "t" / "actions" / "unlucky.yaml"
    text = yaml.read_text(encoding="utf-8").replace("'app/api#gone'", "{ref: 'app/api#gone', required: false}")
    yaml.write_text(text, encoding="utf-8")
    done = project.run("secrets", "check", "t.unlucky")
    assert done.returncode == 0
    assert "MISSING (optional)" in done.stdout


def test_secrets_check_names_those_that_cannot_be_masked_and_never_a_value(project: Command) -> None:
    secrets = project.folder / "secrets.toml"
    secrets.write_text(secrets.read_text(encoding="utf-8") + 'other = "31337"\n', encoding="utf-8")
    done = project.run("secrets", "check", "t.ok")
    assert done.returncode == 0
    assert done.stderr == "attune-tasks: -p token: the value is too short or too common: it is not masked in output\n"
    assert "31337" not in done.stdout
    strict = project.run("secrets", "check", "t.ok", env={"ATTUNE_TASKS_MASKING__STRICT": "true"})
    assert strict.returncode == 3
    assert "the setting masking.strict refuses it" in strict.stderr


def test_config_says_where_each_value_came_from_and_masks_passwords(project: Command) -> None:
    url = f"redis://:{PASSWORD}@localhost/0"
    done = project.run("config", env={"ATTUNE_TASKS_BROKER_URL": url, "ATTUNE_TASKS_GRACE": "3"})
    assert done.returncode == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows["grace"].endswith("# variable ATTUNE_TASKS_GRACE")
    assert rows["secrets.file.path"].endswith("/attune-tasks.toml")
    assert rows["timeout"].endswith("# default")
    assert "***" in rows["broker_url"]
    assert "ATTUNE_TASKS_BROKER_URL holds a secret" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_config_reads_the_settings_of_the_app_that_is_named(project: Command) -> None:
    (project.folder / "mine.py").write_text(
        "from celery import Celery\napp = Celery('mine')\napp.conf.attune_tasks = {'grace': 4}\n", encoding="utf-8"
    )
    done = project.run("-A", "mine:app", "config")
    assert done.returncode == 0, done.stderr
    assert any(line.split() == ["grace", "4.0", "#", "app.conf.attune_tasks"] for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_module", "there is no module 'no_such_module' (imported at mine.py:1)"),
        ("raise ValueError('pa55word')", "its import failed: ValueError at mine.py:1"),
        ("app = 1", "no Celery app is there"),
    ],
)
def test_an_app_that_cannot_be_used_is_wrong_usage(command: Command, code: str, said: str) -> None:
    (command.folder / "mine.py").write_text(code, encoding="utf-8")
    done = command.run("-A", "mine", "config")
    assert done.returncode == 2
    assert said in done.stderr
    assert "pa55word" not in done.stderr


def test_doctor_has_a_line_for_each_part_of_the_embedded_default(project: Command) -> None:
    done = project.run("doctor")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    parts = ["broker", "backend", "provider", "runtime", "runtime", "runtime", "packs"]
    assert [line.split()[1] for line in lines] == [*parts, "visibility", "results", "shared", "signing", "launchers"]
    assert "embedded" in lines[0]
    assert "embedded" in lines[1]


def test_doctor_looks_at_vault_too_where_references_may_name_it(project: Command, vault: Vault) -> None:
    env = {f"ATTUNE_TASKS_SECRETS__VAULT__{name}": value for name, value in {"URL": vault.url, "TOKEN": "no"}.items()}
    done = project.run("doctor", env=env)
    assert done.returncode == 4
    assert re.search(r"ok +provider +file: ", done.stdout)
    assert re.search(r"FAIL +provider vault +Vault at \S+ refuses the token of secrets\.vault", done.stdout)
    assert "VAULT__TOKEN holds a secret" in done.stderr


def test_doctor_tells_what_is_wrong_and_what_to_do(command: Command) -> None:
    (command.folder / "attune-tasks.toml").write_text('packs = ["nowhere"]', encoding="utf-8")
    done = command.run("doctor")
    assert done.returncode == 4
    failed = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith("FAIL")}
    assert set(failed) == {"provider", "packs"}
    assert "secrets.file.path" in failed["provider"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "192.0.2.1:6379"])  # refused; and TEST-NET-1, which never answers
def test_doctor_tells_of_an_unreachable_broker_within_five_seconds(project: Command, address: str) -> None:
    url = f"redis://:{PASSWORD}@{address}/0"
    began = time.monotonic()
    done = project.run("doctor", env={"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url})
    took = time.monotonic() - began
    assert done.returncode == 4
    assert [line.split()[:2] for line in done.stdout.splitlines()[:2]] == [["FAIL", "broker"], ["FAIL", "backend"]]
    assert PASSWORD not in done.stdout + done.stderr
    assert took < 8  # five, and the start of an interpreter on a busy machine


def test_output_cut_off_by_its_reader_is_no_traceback(project: Command) -> None:
    process = project.start("config")
    assert process.stdout is not None
    process.stdout.close()
    with process:
        assert process.stderr is not None
        stderr = process.stderr.read()
        process.wait(30)
    assert (process.returncode, stderr) == (4, "")
