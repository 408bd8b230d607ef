"""The ways by which the docs hand a secret on to other programs: it gets there, and shows up nowhere on the way."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.proc import processes
from attune_tasks.result import ExecutionResult
from attune_tasks.testing import run_local
from tests.acceptance.command import eventually
from tests.acceptance.docs_tools import Looks, http_server, install_tools, postgres_server
from tests.docs_blocks import block

SECRET = 'hunter2 "quoted" \\ it\'s $(id) 100% %s'

_STAND_INS = {
    # As botocore does: the command of the profile, with standard input inherited, and no other descriptor.
    "aws": 'process=$(sed -n "s/^credential_process = //p" "$AWS_CONFIG_FILE")\n$process >"$0.got"',
    "docker": 'cat >"$0.got"',
    "tool": "true",
}


@pytest.fixture
def looks(tmp_path: Path) -> Looks:
    return Looks(tmp_path / "record")


def run(  # noqa: PLR0913 - a test names what it needs
    folder: Path,
    looks: Looks,
    script: str,
    *tools: str,
    secret: str,
    value: str = SECRET,
    runtime: str = "shell",
    **parameters: Any,
) -> ExecutionResult:
    """Run a script of the docs as an action with one secret; the tools that it uses are looked at."""
    path = install_tools(folder / "tools", looks, *tools, stand_ins=_STAND_INS)
    actions = folder / "packs" / "docs" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: docs\n", encoding="utf-8")
    (actions / "it").write_text(script, encoding="utf-8")
    metadata = {
        "ref": "docs.it",
        "runner_type": runtime,
        "entry_point": "it",
        "timeout": 30,
        "parameters": {name: {} for name in parameters},
        "secrets": {secret: "docs/it#secret"},
        "env": {"set": {"PATH": path}},
    }
    (actions / "it.yaml").write_text(json.dumps(metadata), encoding="utf-8")
    result = run_local("docs.it", parameters, packs=folder / "packs", secrets={secret: value})
    assert result.status == "succeeded", result
    return result


def assert_unseen(looks: Looks, *words: str, value: str = SECRET) -> None:
    """See to it that the tool was seen, by each of `words`, and its secret was not."""
    seen = looks.seen()
    assert [word for word in (*words, "ATTUNE_EXEC_ID=") if word not in seen] == []
    assert value not in seen


def test_curl_gets_a_header_by_standard_input_and_by_a_descriptor(tmp_path: Path, looks: Looks) -> None:
    script = "echo figures >report.csv\n" + block("hand-curl")
    with http_server(looks) as url:
        run(tmp_path, looks, script, "curl", secret="token", url=url)
    assert looks.sent == [f"Bearer {SECRET}"] * 2
    assert_unseen(looks, "--fail", "@-", "@/dev/fd/")


def test_curl_from_python_gets_a_header_by_standard_input(tmp_path: Path, looks: Looks) -> None:
    with http_server(looks) as url:
        run(tmp_path, looks, block("hand-python"), "curl", secret="token", runtime="python", url=url)
    assert looks.sent == [f"Bearer {SECRET}"]
    assert_unseen(looks, "--fail", "@-")


def test_psql_gets_its_password_by_a_descriptor(tmp_path: Path, looks: Looks) -> None:
    with postgres_server(looks) as port:
        run(tmp_path, looks, block("hand-psql"), "psql", secret="password", host="127.0.0.1", port=port)
    assert looks.sent == [SECRET]
    assert_unseen(looks, "service=action", "PGSERVICEFILE=/dev/fd/")


def test_psql_passes_over_a_password_file_that_is_a_pipe(tmp_path: Path) -> None:
    script = "PGPASSFILE=<(echo '*:*:*:*:x') psql --no-psqlrc --no-password 'host=127.0.0.1 port=1 user=u' 2>&1 || true"
    result = run(tmp_path, Looks(tmp_path / "record"), script, "psql", secret="password")
    assert "is not a plain file" in result.stdout


def test_git_gets_its_password_by_a_descriptor(tmp_path: Path, looks: Looks) -> None:
    with http_server(looks) as url:
        result = run(tmp_path, looks, block("hand-git"), "git", secret="token", url=f"{url}/repository")
    assert "refs/heads/main" in result.stdout
    sent = "Basic " + base64.b64encode(f"robot:{SECRET}".encode()).decode()
    assert set(looks.sent) == {sent}
    assert_unseen(looks, "ls-remote", "remote-http", "cat <&9")


def test_ssh_add_gets_its_key_by_standard_input_and_the_agent_ends_with_the_action(
    tmp_path: Path, looks: Looks
) -> None:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(file)], check=True, capture_output=True, text=True).stdout
    key = file.read_text(encoding="utf-8").rstrip("\n")
    script = block("hand-ssh") + "echo agent=$!\n"
    result = run(tmp_path, looks, script, "ssh-add", secret="deploy_key", value=key)
    assert shown.split()[1] in result.stdout
    agent = int(result.stdout.rpartition("=")[2])
    eventually(lambda: not any(each.pid == agent and not each.is_zombie for each in processes()))
    assert_unseen(looks, "ssh-add", "SSH_AUTH_SOCK=", value=key.splitlines()[1])


def test_aws_gets_its_key_by_standard_input(tmp_path: Path, looks: Looks) -> None:
    key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
    run(tmp_path, looks, block("hand-aws"), secret="aws_secret_key", value=key, key_id="AKIAEXAMPLE")
    got = json.loads((tmp_path / "tools" / "aws.got").read_text(encoding="utf-8"))
    assert got == {"Version": 1, "AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": key}
    assert_unseen(looks, "get-caller-identity", "AWS_CONFIG_FILE=", value=key)


def test_docker_gets_its_password_by_standard_input(tmp_path: Path, looks: Looks) -> None:
    run(tmp_path, looks, block("hand-docker"), secret="registry_password", registry="registry.example.com")
    assert (tmp_path / "tools" / "docker.got").read_text(encoding="utf-8") == SECRET
    assert_unseen(looks, "--password-stdin", "registry.example.com", "DOCKER_CONFIG=")


def test_a_variable_for_one_command_is_seen_there(tmp_path: Path, looks: Looks) -> None:
    run(tmp_path, looks, block("hand-env"), secret="token")
    assert f"TOOL_TOKEN={SECRET}" in looks.seen()


def test_a_secret_planted_in_an_argument_is_caught_by_each_look(tmp_path: Path, looks: Looks) -> None:
    script = 'get_secret -v token token\ncurl --silent -H "Authorization: Bearer $token" "$ATTUNE_ACTION_URL"'
    with http_server(looks) as url:
        run(tmp_path, looks, script, "curl", secret="token", url=url)
    assert SECRET in looks.seen()
    assert SECRET in looks.record.read_text(encoding="utf-8")
    looks.record.unlink()
    assert SECRET in looks.seen(), "the server's look alone finds it, too"
