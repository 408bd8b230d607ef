"""compose.yaml, up and running: the example through it, its health, its end, and where its passwords show."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.docker.engine import Engine
from tests.docker.leaks import Leaks, secrets_of
from tests.docker.site import Site
from tests.docker.stack import Stack
from tests.waiting import wait_until

OURS = ("worker", "beat", "web", "flower", "migrate", "set-up-vault")
RUNNING = ("worker", "beat", "web", "flower", "redis", "vault")


@pytest.fixture(scope="module")
def site(stack: Stack) -> Site:
    wait_until(lambda: stack.health("web") == "healthy", "the site answers", 120)
    return Site(stack)


def flower(stack: Stack, path: str, login: str = "") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{stack.ports['flower']}{path}")
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own Flower
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_the_example_runs_with_a_secret_from_vault(stack: Stack, site: Site) -> None:
    end = site.end_of(site.enqueue("shop.refund", order="A-1004", amount_cents=100))
    assert end["status"] == "succeeded", end
    end = site.end_of(site.enqueue("shop.report", month="2026-04", orders=3, pause=0.1))
    assert end["result"]["orders"] == 3
    end = site.end_of(site.enqueue("shop.send_list", warehouse="north", account="shop/warehouse#password"))
    assert end["status"] == "succeeded", end


def test_flower_shows_what_ran_to_who_has_the_password_and_to_nobody_else(stack: Stack, site: Site) -> None:
    site.end_of(site.enqueue("shop.report", month="2026-05", orders=1, pause=0))
    wait_until(lambda: stack.health("flower") == "healthy", "Flower answers", 60)
    for path in ("/", "/tasks", "/api/tasks"):
        assert flower(stack, path)[0] == 401
        assert flower(stack, path, "flower:wrong")[0] == 401
    login = stack.secret("flower_login")
    wait_until(lambda: "shop.report" in flower(stack, "/api/tasks", login)[1], "Flower lists it", 60)


def test_redis_wants_a_password_keeps_what_it_has_and_evicts_nothing(stack: Stack) -> None:
    assert "NOAUTH" in stack.execute("redis", "redis-cli", "ping").stdout
    ask = "(sed -n 's/^requirepass /AUTH /p' /run/secrets/redis.conf; echo CONFIG GET {}) | redis-cli"
    assert "noeviction" in stack.execute("redis", "sh", "-c", ask.format("maxmemory-policy")).stdout
    assert "yes" in stack.execute("redis", "sh", "-c", ask.format("appendonly")).stdout


@pytest.mark.parametrize("service", OURS)
def test_a_service_has_no_rights_that_it_does_not_need(stack: Stack, service: str) -> None:
    known = stack.inspect(service)
    assert known["Config"]["User"] == stack.user
    assert known["HostConfig"]["ReadonlyRootfs"] is True
    assert known["HostConfig"]["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in known["HostConfig"]["SecurityOpt"]


@pytest.mark.parametrize("service", ["worker", "beat", "web", "flower"])
def test_all_processes_of_a_service_are_an_ordinary_users(stack: Stack, service: str) -> None:
    assert "Read-only file system" in stack.execute(service, "touch", "/x").stderr
    listed = stack.engine.docker("top", stack.container(service), "-eo", "pid,uid").stdout.splitlines()[1:]
    assert {line.split()[1] for line in listed} == {stack.user}
    assert stack.user != "0"


def test_the_doctor_finds_nothing_wrong(stack: Stack) -> None:
    said = ""

    def finds_nothing() -> bool:
        nonlocal said
        done = stack.execute("worker", "attune-tasks", "-A", "shop.celery:app", "doctor")
        said = done.stdout
        return done.returncode == 0

    # It gives each look four seconds, which a machine that does much else may not keep.
    wait_until(finds_nothing, "the doctor finds nothing wrong", 120)
    assert "http://vault:8200" in said


def test_a_worker_that_takes_nothing_of_its_queue_becomes_unhealthy_though_it_answers(stack: Stack, site: Site) -> None:
    wait_until(lambda: stack.health("worker") == "healthy", "the worker is healthy", 90)
    celery = ("celery", "-A", "shop")
    assert stack.execute("worker", *celery, "control", "cancel_consumer", "celery").returncode == 0
    waiting = site.enqueue("shop.report", month="2026-06", orders=1, pause=0)
    wait_until(lambda: stack.health("worker") == "unhealthy", "the worker is unhealthy", 120)
    assert "pong" in stack.execute("worker", *celery, "inspect", "ping").stdout
    last = stack.inspect("worker")["State"]["Health"]["Log"][-1]["Output"]
    assert "1 messages wait in celery, 2 of 2 slots are free" in last
    assert stack.execute("worker", *celery, "control", "add_consumer", "celery").returncode == 0
    assert site.end_of(waiting)["status"] == "succeeded"
    wait_until(lambda: stack.health("worker") == "healthy", "the worker is healthy again", 90)


def test_a_worker_that_is_stopped_in_mid_run_leaves_a_final_state(stack: Stack, site: Site) -> None:
    running = site.enqueue("shop.report", month="2026-07", orders=1000, pause=1)
    wait_until(lambda: "order A-1002" in site.output(running), "it runs", 60)
    worker = stack.container("worker")
    began = time.monotonic()
    stack.engine.docker("stop", "--time", "40", worker, seconds=60)
    took = time.monotonic() - began
    try:
        assert took < 35, "it ended by itself, not by the engine's SIGKILL"
        assert stack.inspect("worker")["State"]["ExitCode"] != 137
        end = site.status(running)
        assert (end["status"], end["error"]["type"]) == ("cancelled", "worker_shutdown")
        assert "order A-1002" in json.dumps(end) or "order A-1002" in site.output(running)
    finally:
        stack.engine.docker("start", worker)
        wait_until(lambda: stack.health("worker") == "healthy", "the worker is back", 90)
    assert site.end_of(site.enqueue("shop.report", month="2026-08", orders=1, pause=0))["status"] == "succeeded"


def test_leak_check_finds_nothing_in_the_running_stack(stack: Stack, site: Site) -> None:
    check = [
        *("python3", "manage.py", "attune", "leak-check", "--json", "--file-seconds", "10", "--seconds", "3"),
        *("--flower", "http://flower:5555", "--flower-login", "-"),
    ]
    done = stack.execute("worker", *check, seconds=280, text=stack.secret("flower_login"))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    for surface in ("environ", "command lines", "broker keys", "result", "log", "Flower", "Django records"):
        of_surface = [row for row in rows if row["surface"] == surface]
        if surface == "environ":  # that of a fork is closed to the worker's user, who is not root
            of_surface = [row for row in of_surface if row["runtime"] != "python"]
        assert {row["verdict"] for row in of_surface} == {"clean"}, of_surface


def test_no_password_shows_in_what_the_engine_knows(engine: Engine, stack: Stack, site: Site) -> None:
    site.end_of(site.enqueue("shop.refund", order="A-1005", amount_cents=100))
    leaks = Leaks(engine, secrets_of(stack))
    assert leaks.in_containers(stack, (*RUNNING, "migrate", "set-up-vault")) == []
    assert leaks.in_images() == []
