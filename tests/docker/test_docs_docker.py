"""What the page on Docker, Kubernetes and systemd says, done."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.celery_worker import CeleryWorker, running_worker
from tests.docker.engine import Engine
from tests.docker.image_set import BASE, SHOP_TARGET, WORKER
from tests.docker.stack import Stack
from tests.docs_blocks import ROOT, block
from tests.redis_server import RedisServer
from tests.waiting import wait_until


def commands(text: str) -> list[str]:
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def test_the_stack_was_started_as_the_page_says(stack: Stack) -> None:
    assert commands(block("docker-up")) == [
        f"docker build -f docker/Dockerfile --target {SHOP_TARGET} -t attune-tasks-shop .",
        "docker/make-secrets",
        "cd docker",
        f"docker compose {shlex.join(stack.started_by)}",
    ]
    assert (stack.folder / "make-secrets").read_bytes() == (ROOT / "docker" / "make-secrets").read_bytes()


def test_the_stacks_settings_have_the_files_that_the_page_names() -> None:
    used = tomllib.loads((ROOT / "docker" / "attune-tasks.toml").read_text(encoding="utf-8"))
    assert tomllib.loads(block("docker-settings")).items() <= used.items()


def test_health_is_told_as_the_page_says(stack: Stack) -> None:
    (command,) = commands(block("docker-health"))
    arguments = shlex.split(command)
    assert arguments[:2] == ["docker", "compose"]
    wait_until(lambda: stack.health("worker") == "healthy", "the worker is healthy", 120)
    said = stack.compose(*arguments[2:]).stdout
    assert said == block("docker-health").partition("\n")[2]


def test_a_service_is_stopped_as_the_page_says(stack: Stack) -> None:
    (command,) = commands(block("docker-stop"))
    arguments = shlex.split(command)
    wait_until(lambda: stack.health("worker") == "healthy", "the worker is healthy", 120)
    stack.compose(*arguments[2:])
    state = stack.inspect("worker")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    stack.compose("start", *arguments[3:])
    wait_until(lambda: stack.health("worker") == "healthy", "the worker is back", 120)


def test_an_image_is_built_as_the_page_says_and_ones_own_on_top(engine: Engine, tmp_path: Path) -> None:
    (command,) = commands(block("docker-build"))
    arguments = shlex.split(command)
    assert arguments[0] == "docker"
    # The engine at hand may have an image of that name, which is not ours to replace.
    ours = {"docker/Dockerfile": str(ROOT / "docker" / "Dockerfile"), "attune-tasks": "attune-tasks-test/page"}
    assert ours.keys() <= set(arguments)
    environ = ["--network", "host", "--build-arg", f"BASE_IMAGE={BASE}"]
    build = [*(ours.get(each, each) for each in arguments[1:-1]), *environ, str(ROOT)]
    engine.docker(*build, seconds=600)
    try:
        shutil.copytree(ROOT / "config" / "packs", tmp_path / "packs")
        own = block("docker-own")
        assert own.startswith("FROM attune-tasks\n")
        own = own.replace("FROM attune-tasks\n", f"FROM {ours['attune-tasks']}\n")
        (tmp_path / "Dockerfile").write_text(own, encoding="utf-8")
        engine.docker("build", "-t", "attune-tasks-test/own", str(tmp_path), seconds=120)
        done = engine.docker(
            *("run", "--rm", "--read-only", "--network", "none", "attune-tasks-test/own"),
            *("attune-tasks", "packs", "list"),
        )
        assert "hello.greet" in done.stdout
    finally:
        engine.docker("rmi", "attune-tasks-test/own", ours["attune-tasks"], check=False)


@pytest.fixture
def credential(tmp_path: Path, redis_server: RedisServer) -> Path:
    """Give a file with the broker's URL as systemd and Kubernetes hand it over: root's, readable by a group."""
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o750)
    file = folder / "broker-url"
    file.write_text(redis_server.url(redis_server.new_database()) + "\n", encoding="utf-8")
    file.chmod(0o440)
    return file


def test_the_unit_is_one_and_starts_a_worker_that_reads_its_credential(tmp_path: Path, credential: Path) -> None:
    text = block("docker-systemd")
    program = str(Path(sys.executable).parent / "celery")
    unit = tmp_path / "attune-worker.service"
    unit.write_text(text.replace("/opt/attune-tasks/bin/celery", program), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    runtime = tmp_path / "attune-worker"
    runtime.mkdir()
    (tmp_path / "attune-tasks.toml").write_text("packs = []\n", encoding="utf-8")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for line in text.splitlines():
        if line.startswith("Environment="):
            name, _, value = line.removeprefix("Environment=").partition("=")
            value = value.replace("%d", str(credential.parent)).replace("%t", str(tmp_path))
            environ[name] = value.replace("/etc/attune-tasks", str(tmp_path))
    service = section_of(text, "Service")
    loaded = service["LoadCredential"].partition(":")[0]
    assert loaded == credential.name
    started = service["ExecStart"].replace("/opt/attune-tasks/bin/celery", program).split()
    worker = CeleryWorker(started, tmp_path, environ, tmp_path / "worker.log")
    with running_worker(worker, "as the unit for systemd has it"):
        health = tmp_path / "attune-worker" / "health"
        wait_until(health.exists, "it notes how it is")
        done = subprocess.run(
            [sys.executable, "-m", "attune_tasks.cli", "health"],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "healthy: nothing waits in its queues\n"), done.stderr
        assert "redis://" in worker.log()


def section_of(text: str, section: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names as they are
    parser.read_string(text)
    return parser[section]


def test_a_container_as_the_deployment_has_it_is_healthy(engine: Engine, tmp_path: Path, stack: Stack) -> None:
    deployment: dict[str, Any] = yaml.safe_load(block("docker-kubernetes"))
    pod = deployment["spec"]["template"]["spec"]
    (described,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    group = pod["securityContext"]["fsGroup"]
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    file = credentials / "broker-url"
    file.write_text(stack.secret("broker_url") + "\n", encoding="utf-8")
    mode = volumes["credentials"]["secret"]["defaultMode"]
    options = ["--user", f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"]
    options += ["--group-add", str(group)]
    security = described["securityContext"]
    options += ["--read-only"] if security["readOnlyRootFilesystem"] else []
    options += [] if security["allowPrivilegeEscalation"] else ["--security-opt", "no-new-privileges:true"]
    options += [part for name in security["capabilities"]["drop"] for part in ("--cap-drop", name)]
    options += [part for each in described["env"] for part in ("--env", f"{each['name']}={each['value']}")]
    for mount in described["volumeMounts"]:
        volume = volumes[mount["name"]]
        if "secret" in volume:
            options += ["--volume", f"{credentials}:{mount['mountPath']}:ro"]
        else:
            options += ["--tmpfs", f"{mount['mountPath']}:mode=1777"]
    # As the kubelet does it: root's file, the group's by fsGroup.
    engine.docker(
        *(
            "run",
            "--rm",
            "--network",
            "none",
            "--user",
            "0",
            "--volume",
            f"{credentials}:/mounted",
            WORKER,
            "sh",
            "-ec",
        ),
        f"chown -R 0:{group} /mounted; chmod 0750 /mounted; chmod {mode:o} /mounted/broker-url",
    )
    network = next(iter(stack.inspect("redis")["NetworkSettings"]["Networks"]))
    started = engine.docker("run", "--detach", "--network", network, *options, WORKER, *described["args"])
    name = started.stdout.strip()
    try:
        probe = described["livenessProbe"]["exec"]["command"]
        wait_until(
            lambda: engine.docker("exec", name, *probe, check=False).stdout.startswith("healthy"), "it is healthy", 90
        )
        engine.docker("stop", "--time", str(pod["terminationGracePeriodSeconds"]), name)
        state = json.loads(engine.docker("inspect", name).stdout)[0]["State"]
        assert state["ExitCode"] == 0
    finally:
        engine.docker("rm", "--force", name)
