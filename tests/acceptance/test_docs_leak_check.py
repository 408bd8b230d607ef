"""docs/leak-check.md: each command on it, by a real worker, Redis, Vault and curl."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from attune_tasks.proc import processes, read
from attune_tasks.settings import load_settings
from tests.celery_worker import CeleryWorker
from tests.docs_blocks import block
from tests.integration.flower_server import PASSWORD, USER, flower
from tests.integration.workers import Place, make_place, worker
from tests.redis_server import RedisServer
from tests.vault import Vault, unique

pytestmark = pytest.mark.timeout(700)

_CLOSE = """\
get_secret -v token token
curl --silent --max-time 3 -H "Authorization: Bearer $token" "$ATTUNE_ACTION_URL/close" || true
"""
_METADATA = """\
ref: billing.close_month
runner_type: shell
entry_point: close_month.sh
parameters:
  month: {type: string, required: true}
  url: {type: string, required: true}
secrets: {token: {ref: "work/api#api_key"}}
"""


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """Give the address of a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def checked(
    redis_server: RedisServer, vault: Vault, silent: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Place, CeleryWorker]]:
    place = make_place(tmp_path_factory.mktemp("leak-check"), redis_server)
    actions = place.packs / "billing" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: billing\n", encoding="utf-8")
    (actions / "close_month.sh").write_text(_CLOSE, encoding="utf-8")
    url = "url: {type: string, default: '" + silent + "'}"
    (actions / "close_month.yaml").write_text(_METADATA.replace("url: {type: string, required: true}", url), "utf-8")
    token = place.folder / "token"
    token.touch(mode=0o600)
    token.write_text(vault.root.token, encoding="utf-8")
    settings = tomllib.loads(block("leak-check-setting"))
    assert load_settings(overrides=settings, environ={}).settings.leak_check.enabled
    environ = {
        "ATTUNE_TASKS_LEAK_CHECK__ENABLED": str(settings["leak_check"]["enabled"]).lower(),
        "ATTUNE_TASKS_SECRETS__VAULT__URL": vault.url,
        "ATTUNE_TASKS_SECRETS__VAULT__TOKEN_FILE": str(token),
    }
    with worker(place, "-c", "2", environ=environ) as running:
        yield place, running


def typed(place: Place, command: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Type a command of the page."""
    name, *arguments = shlex.split(command)
    assert name == "attune-tasks"
    return subprocess.run(
        [sys.executable, "-m", "attune_tasks.cli", *arguments, *more, "--file-seconds", "4"],
        env=place.environ(),
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def lines_of(text: str) -> list[str]:
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], str]:
    rows = json.loads(done.stdout)["rows"]
    return {(row["surface"], row["runtime"]): row["verdict"] for row in rows}


def test_canaries_leave_no_trace_on_any_surface(checked: tuple[Place, CeleryWorker]) -> None:
    place, _ = checked
    (command,) = lines_of(block("leak-check-run"))
    done = typed(place, command, "--own-redis", "--json")
    found = verdicts(done)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {runtime for _, runtime in found} == {"python", "python (exec)", "shell", "executable"}
    surfaces = {surface for surface, _ in found}
    not_looked_at = {surface for (surface, _), verdict in found.items() if verdict != "clean"}
    # CI is root, whom nothing is closed to.
    assert not_looked_at == {"seen by the same user", "Flower", "Vault's audit log"}
    assert len(surfaces) == 30
    assert "did not end as it should" not in done.stderr


def test_an_action_that_gives_its_token_to_curl_is_told_with_the_program(checked: tuple[Place, CeleryWorker]) -> None:
    place, _ = checked
    (command,) = lines_of(block("leak-check-ref"))
    done = typed(place, command)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Vault was not asked for anything: --real has" in done.stdout
    for line in block("leak-check-leak").splitlines():
        pattern = re.escape(line).replace("4711", r"\d+").replace("8000", r"\d+")
        assert line == "…" or re.search(f"^{pattern}$", done.stdout, re.MULTILINE), (line, done.stdout)


def test_a_canary_of_vault_is_looked_for_in_its_audit_log(
    checked: tuple[Place, CeleryWorker], vault: Vault, tmp_path: Path
) -> None:
    place, _ = checked
    put, command = lines_of(block("leak-check-vault"))
    assert put.startswith("vault kv put secret/leak-check canary=")
    value = subprocess.run(["openssl", "rand", "-hex", "24"], capture_output=True, text=True, check=True).stdout.strip()
    mount, device, log = vault.kv(), unique("audit"), tmp_path / "audit.log"
    vault.put(mount, "leak-check", {"canary": value})
    tmp_path.chmod(0o777)
    command = command.replace("vault://secret/", f"vault://{mount}/").replace("/var/log/vault/audit.log", str(log))
    for raw, code in (("false", 0), ("true", 1)):
        options = {"file_path": str(log), "log_raw": raw, "mode": "0644"}
        vault.root.sys.enable_audit_device("file", path=device, options=options)
        try:
            done = typed(place, command, "--json")
        finally:
            vault.root.sys.disable_audit_device(device)
        assert done.returncode == code, done.stdout + done.stderr
        wanted = "LEAK" if code else "clean"
        assert {verdict for (surface, _), verdict in verdicts(done).items() if surface.startswith("Vault")} == {wanted}
        assert value not in done.stdout + done.stderr


def test_the_self_test_catches_what_leaks_on_each_surface_and_leaves_nothing(
    checked: tuple[Place, CeleryWorker],
) -> None:
    place, _ = checked
    (command,) = lines_of(block("leak-check-self-test"))
    login = place.folder / "flower-login"
    login.write_text(f"{USER}:{PASSWORD}\n", encoding="utf-8")
    with flower(place, f"celery@{socket.gethostname()}", "flower.log", f"--basic_auth={USER}:{PASSWORD}") as address:
        more = ("--flower", f"http://{address}", "--flower-login", str(login))
        done = typed(place, command, "--own-redis", "--json", *more)
    caught = json.loads(done.stdout)["controls"]
    missed = [each for each in caught if each["verdict"] == "clean"]
    assert (done.returncode, missed) == (0, []), json.dumps(missed) + done.stderr
    without = {each["surface"]: each["where"] for each in caught if each["verdict"] != "LEAK"}
    assert without.keys() <= {"seen by the same user"}, without  # not looked at where actions run as root
    assert PASSWORD not in done.stdout + done.stderr
    assert len({each["surface"] for each in caught}) == 30  # all there are without Django
    (of_vault,) = (each["where"] for each in caught if each["surface"] == "Vault's audit log")
    assert of_vault.endswith("vault-audit.log, line of the response")
    assert place.redis is not None
    with place.redis.client(place.database) as client:
        assert not [key for key in client.scan_iter(count=1000) if b"leak" in key]
    assert not [each for each in processes() if b"leak-self-test" in b" ".join(read(each.pid, "cmdline") or [])]
