"""The actions, plugins and tests that README and docs show, run as they stand there."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from attune_tasks.context import ExecutionContext
from attune_tasks.process import Control
from attune_tasks.result import ExecutionResult
from attune_tasks.settings import load_settings
from attune_tasks.testing import captured, fake_result, run_local
from attune_tasks.wire import encode_secrets
from tests.acceptance.command import Command
from tests.distributions import install_distribution
from tests.docs_blocks import block
from tests.runs import run_script

KEY = "a key of the tests, 7c1f"


def write_action(packs: Path, metadata: str, script: str, pack: str = "ref: billing\n") -> str:
    """Write an action as the docs show it, into the pack `billing`; give its ref."""
    loaded: dict[str, Any] = yaml.safe_load(metadata)
    actions = packs / "billing" / "actions"
    actions.mkdir(parents=True, exist_ok=True)
    (actions.parent / "pack.yaml").write_text(pack, encoding="utf-8")
    name = loaded["ref"].partition(".")[2]
    (actions / f"{name}.yaml").write_text(metadata, encoding="utf-8")
    entry = actions / loaded["entry_point"]
    entry.write_text(script, encoding="utf-8")
    entry.chmod(0o755)
    return str(loaded["ref"])


def run_action(
    packs: Path, runtime: str, script: str, parameters: dict[str, Any], secrets: dict[str, str]
) -> ExecutionResult:
    """Run a script of the docs as an action which declares what it is given.

    What `runtime` holds beside its name are more lines of the metadata.
    """
    metadata = f"ref: billing.it\nrunner_type: {runtime}\nentry_point: it\n"
    metadata += f"parameters: {json.dumps({name: {} for name in parameters} or None)}\n"
    metadata += f"secrets: {json.dumps({name: f'tests/docs#{name}' for name in secrets})}\n"
    return run_local(write_action(packs, metadata, script), parameters, packs=packs, secrets=secrets)


def test_the_problem_of_the_readme_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "close_month.py").write_text(
        "import pathlib\npathlib.Path('seen').write_bytes(open('/proc/self/environ', 'rb').read())\n"
    )
    monkeypatch.chdir(tmp_path)
    exec(block("readme-problem"), {"os": os, "subprocess": subprocess, "sys": sys, "api_key": KEY})  # noqa: S102 - the README's own
    assert f"API_KEY={KEY}".encode() in (tmp_path / "seen").read_bytes()


def test_the_action_of_the_readme_has_its_secret_and_no_variable_has(tmp_path: Path) -> None:
    look = "\nimport os, subprocess\nprint(dict(os.environ))\nsubprocess.run(['cat', '/proc/self/environ'])\n"
    ref = write_action(tmp_path, block("readme-action-yaml"), block("readme-action-python") + look)
    result = run_local(ref, {"month": "2026-04"}, packs=tmp_path, secrets={"api_key": KEY})
    assert result.status == "succeeded", result.stderr
    assert result.result == {"closed": "2026-04", "signed": True}
    assert "'ATTUNE_EXEC_ID'" in result.stdout, "the action's variables"
    assert "ATTUNE_EXEC_ID=" in result.stdout, "those of what it starts"
    assert "API_KEY" not in result.stdout
    assert "***" not in result.stdout


def test_the_call_of_the_readme_gives_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    import attune_tasks

    with captured() as calls, fake_result("billing.close_month", {"closed": "2026-04"}):
        exec(block("readme-enqueue"), {"attune_tasks": attune_tasks})  # noqa: S102 - the README's own
    assert capsys.readouterr().out == "{'closed': '2026-04'}\n"
    assert [call.action_ref for call in calls] == ["billing.close_month"]


def test_the_full_pack_and_the_full_action_load_and_run(tmp_path: Path) -> None:
    script = 'echo "$LEDGER_URL|$REPORT_STYLE|$ATTUNE_ACTION_MONTH|$ATTUNE_ACTION_COPIES|$PWD"; get_secret account'
    # The user of the example is this one, so that it runs wherever the tests do.
    metadata = block("action-full").replace("run_as: reports", f"run_as: {pwd.getpwuid(os.geteuid()).pw_name}")
    ref = write_action(tmp_path, metadata, script, block("pack-full"))
    (tmp_path / "billing" / "work").mkdir()
    secrets = {"api_key": KEY, "account": "the account's key"}
    result = run_local(ref, {"month": "2026-04"}, packs=tmp_path, secrets=secrets)
    assert result.status == "succeeded", result
    expected = f"https://ledger.example.com|plain|2026-04|1|{tmp_path}/billing/work"
    assert result.stdout == f"{expected}\n***"
    assert result.secrets_missing == ("webhook",)
    literal = run_local(ref, {"month": "2026-04", "account": KEY}, packs=tmp_path, secrets=secrets)
    assert literal.error is not None
    assert literal.error["type"] == "invalid_parameters"
    assert KEY not in str(literal.to_dict())


def test_the_full_action_uses_every_key() -> None:
    from attune_tasks.packs.models import ActionFile, PackFile

    assert set(yaml.safe_load(block("action-full"))) == set(ActionFile.model_fields)
    assert set(yaml.safe_load(block("pack-full"))) == set(PackFile.model_fields)


def test_the_python_action(tmp_path: Path) -> None:
    result = run_action(tmp_path, "python", block("python-action"), {"month": "2026-04"}, {"token": KEY})
    assert result.result == {"month": "2026-04", "region": "eu", "signed": True}
    assert result.stdout == "summing up 2026-04\n"


def test_the_shell_action(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    result = run_action(tmp_path, "shell", block("shell-action"), {"folder": str(folder)}, {"passphrase": KEY})
    assert result.status == "succeeded", result.stderr
    assert len(result.result["checksum"]) == 64
    assert f"with {len(KEY)} characters" in result.stdout


def test_the_program(tmp_path: Path) -> None:
    runtime = "executable\nparameter_delivery: stdin"
    result = run_action(tmp_path, runtime, block("executable-action"), {"channel": "ops"}, {"key": KEY})
    assert (result.status, result.stdout) == ("succeeded", "notifying ops\n"), result
    assert result.result == {"key_bytes": len(KEY)}


def test_parameters_on_standard_input_are_sourced(tmp_path: Path) -> None:
    runtime = "shell\nparameter_delivery: stdin\nparameter_format: dotenv"
    parameters = {"letters": 3, "name": "it's $(id)"}
    result = run_action(tmp_path, runtime, block("shell-stdin"), parameters, {"key": KEY})
    assert result.stdout == "sending 3 letters to it's $(id)\n", result


@pytest.mark.parametrize("script", [block("migrate-python-before"), block("migrate-python-both")])
def test_an_old_python_action_runs_where_both_allow_it(command: Command, script: str) -> None:
    assert run_migrated(command, "python", script) == len(KEY)


@pytest.mark.parametrize("script", [block("migrate-shell-before"), block("migrate-shell-both")])
def test_an_old_shell_action_runs_where_both_allow_it(command: Command, script: str) -> None:
    assert run_migrated(command, "shell", script) == len(KEY) + len("Authorization: Bearer ")


def run_migrated(command: Command, runtime: str, script: str) -> int:
    """Run a script by ``legacy_env``, with the metadata and the settings of the docs; give the figure it found."""
    metadata = block("migrate-metadata").replace("shell", runtime).replace("old_report.sh", "old_report")
    ref = write_action(command.folder / "packs", metadata, script)
    settings = block("migrate-settings") + '[secrets.file]\npath = "secrets.toml"\n'
    assert load_settings(overrides=tomllib.loads(block("migrate-settings"))).settings.secrets.allow_legacy_env
    (command.folder / "attune-tasks.toml").write_text(settings, encoding="utf-8")
    secrets = command.folder / "secrets.toml"
    secrets.touch(mode=0o600)
    secrets.write_text(f'["billing/ledger"]\napi_key = "{KEY}"\n', encoding="utf-8")
    done = command.run("run", ref, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    return int(told["result"] or told["stdout"])


@pytest.mark.parametrize("script", [block("migrate-python-after"), block("migrate-python-both")])
def test_a_new_python_action_needs_no_variable(tmp_path: Path, script: str) -> None:
    assert run_action(tmp_path, "python", script, {}, {"api_key": KEY}).result == len(KEY)


@pytest.mark.parametrize("script", [block("migrate-shell-after"), block("migrate-shell-both")])
def test_a_new_shell_action_needs_no_variable(tmp_path: Path, script: str) -> None:
    result = run_action(tmp_path, "shell", script, {}, {"api_key": KEY})
    assert int(result.stdout) == len(KEY) + len("Authorization: Bearer "), result


def test_an_old_action_fails_without_its_variables(tmp_path: Path) -> None:
    assert run_action(tmp_path, "python", block("migrate-python-before"), {}, {"api_key": KEY}).status == "failed"
    result = run_action(tmp_path, "shell", block("migrate-shell-before"), {}, {"api_key": KEY})
    assert int(result.stdout) == len("Authorization: Bearer ")


def test_the_line_is_read_as_the_wire_says(tmp_path: Path) -> None:
    result = run_script("executable", tmp_path, block("wire-read"), {"api_key": 'say "hi"\n'})
    assert result.stdout == "9\n", result.stderr


def test_the_line_of_the_wire_is_what_its_secrets_give() -> None:
    line = encode_secrets({"api_key": "sk_live_abc123", "note": 'say "hi"'}).decode()
    assert line.rstrip() == block("wire-line").rstrip()
    assert (len(line), line[-2:]) == (512, " \n")


def test_the_folders_of_a_pack(tmp_path: Path) -> None:
    folders: list[str] = []
    for line in block("pack-tree").splitlines():
        name = line.partition("#")[0].rstrip()
        depth = (len(name) - len(name.lstrip())) // 2
        folders[depth:] = [name.strip()]
        path = tmp_path.joinpath(*folders)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text("RATE = 3\n" if path.name == "ledger.py" else "", encoding="utf-8")
    script = "import ledger\n\ndef run(params):\n    return ledger.RATE\n"
    ref = write_action(tmp_path / "packs", block("readme-action-yaml"), script)
    result = run_local(ref, {"month": "2026-04"}, packs=tmp_path / "packs", secrets={"api_key": KEY})
    assert result.result == 3, result


@pytest.mark.parametrize("runtime", ["python", "shell"])
def test_what_the_page_masks_is_masked(runtime: str, tmp_path: Path) -> None:
    script = block("mask-python") if runtime == "python" else block("mask-shell")
    result = run_action(tmp_path, runtime, script, {}, {"api_key": KEY})
    assert result.status == "succeeded", result
    assert result.stdout == "logged in, session ***\n"
    assert result.result == {"session": "***"}
    assert result.masked == {"(mask)": {"stdout": 1, "result": 1}}
    call = {"python": "    mask(session)", "shell": "mask -v session"}[runtime]
    shown = run_action(tmp_path, runtime, script.replace(call, call.replace("mask", "type")), {}, {"api_key": KEY})
    assert "***" not in shown.stdout


def test_the_messages_of_the_wire_are_understood() -> None:
    control = Control()
    control.feed(block("wire-messages").encode())
    assert control.result == {"closed": "2026-04"}
    assert control.error == {"type": "LedgerLocked", "message": "the month is closed already"}
    assert control.take_progress() == (42.5, "copying the ledger")
    assert control.take_masks() == ["tok_4711-0815"]
    assert control.ignored == 0


def test_the_test_of_an_action_passes(tmp_path: Path) -> None:
    write_action(tmp_path / "packs", block("readme-action-yaml"), block("readme-action-python"))
    assert_passes(tmp_path, block("run-local"))


def test_the_test_for_leaks_passes_and_catches_one(tmp_path: Path) -> None:
    script = block("readme-action-python")
    write_action(tmp_path / "packs", block("readme-action-yaml"), script)
    assert "1 passed" in run_test(tmp_path, block("leak-scanner"))
    write_action(tmp_path / "packs", block("readme-action-yaml"), leaky(script))
    assert "changed files        LEAK" in run_test(tmp_path, block("leak-scanner"))


def leaky(script: str) -> str:
    """Give an action which writes its secret into a file beside it, and otherwise does what it did."""
    return f"{script}\n\nopen(__file__ + '.cache', 'w').write(get_secret('api_key'))\n"


def test_the_test_of_an_application_passes(tmp_path: Path) -> None:
    assert_passes(tmp_path, block("captured"))


def assert_passes(folder: Path, test: str) -> None:
    """Let a pytest of its own run one test, and show that it can fail."""
    for text, passes in ((test, True), (test.replace("2026-04", "2026-05", 1), False)):
        printed = run_test(folder, text)
        assert ("1 passed" in printed) is passes, printed


def run_test(folder: Path, text: str) -> str:
    """Run a test in a pytest of its own; give what it printed."""
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def install(site: Path, code: str, project: str) -> None:
    """Install a distribution of the module in `code`, with the entry points that `project` has for its pyproject."""
    module = code.partition("\n")[0].removeprefix("# ").removesuffix(".py")
    groups = tomllib.loads(project)["project"]["entry-points"]
    install_distribution(site, "attune-docs", module, code, groups)


def test_the_runtime_plugin_runs_an_action(command: Command, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, block("runtime-plugin"), block("runtime-entry-point"))
    metadata = "ref: billing.sum\nrunner_type: awk\nentry_point: sum.awk\nparameters: {month: {}}\n"
    script = 'NR == 1 { print ($0 ~ /^\\{\\} *$/), ENVIRON["ATTUNE_ACTION_MONTH"] }\n'
    ref = write_action(command.folder / "packs", metadata, script)
    here = {"PYTHONPATH": str(site)}
    done = command.run("run", ref, "-p", "month=2026-04", env=here)
    assert (done.returncode, done.stdout) == (0, "1 2026-04\n"), done.stderr
    assert "attune-docs 1.0" in command.run("runtimes", env=here).stdout
    assert command.run("run", ref, "-p", "month=2026-04").returncode != 0, "without the plugin it can't run"


def test_the_runtime_plugin_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attune_tasks.errors import RuntimeUnavailableError

    space: dict[str, Any] = {}
    exec(block("runtime-plugin"), space)  # noqa: S102 - the docs' own
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeUnavailableError, match="awk"):
        space["AwkRuntime"]().execute(ExecutionContext(1, "a.b", code_path=tmp_path / "x"))


def test_the_secret_provider_plugin_resolves_its_references(command: Command, tmp_path: Path) -> None:
    site, credentials = tmp_path / "site", tmp_path / "credentials"
    install(site, block("provider-plugin"), block("provider-entry-point"))
    credentials.mkdir()
    (credentials / "ledger_key").write_text(KEY, encoding="utf-8")
    metadata = "ref: billing.sum\nrunner_type: shell\nentry_point: sum.sh\n"
    metadata += "secrets: {key: 'systemd://ledger_key#value'}\n"
    ref = write_action(command.folder / "packs", metadata, "get_secret -v key key\necho ${#key}\n")
    here = {"PYTHONPATH": str(site), "CREDENTIALS_DIRECTORY": str(credentials)}
    done = command.run("run", ref, env=here)
    assert (done.returncode, done.stdout) == (0, f"{len(KEY)}\n"), done.stderr
    (command.folder / "attune-tasks.toml").write_text(
        f'[secrets.options.systemd]\nfolder = "{credentials}"\n', encoding="utf-8"
    )
    assert command.run("run", ref, env={"PYTHONPATH": str(site)}).returncode == 0
    (credentials / "ledger_key").unlink()
    failed = command.run("run", ref, env=here)
    assert failed.returncode == 3
    assert "No such file or directory" in failed.stderr
