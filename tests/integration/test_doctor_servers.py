"""What doctor says of a real Redis, of signing, and of the user's own Celery settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.packs import write_packs, write_secrets
from tests.integration.signed import write_key
from tests.integration.workers import ROOT
from tests.redis_server import RedisServer

OWN_APP = """\
from celery import Celery
app = Celery("mine", broker={broker!r}, backend={backend!r}, include=["attune_tasks.tasks"])
app.conf.update({settings!r})
app.conf.attune_tasks = {{"packs": ["packs"], "secrets": {{"file": {{"path": {secrets!r}}}}}}}
"""


@dataclass
class Doctor:
    """doctor, in a folder with packs and secrets."""

    folder: Path
    secrets: Path
    broker: str
    backend: str

    def say(self, code: int, settings: Mapping[str, object] | None = None, **variables: str) -> dict[str, str]:
        """Have it look at an app with these Celery settings. Gives each line that is not ok by its subject."""
        (self.folder / "mine.py").write_text(
            OWN_APP.format(
                broker=self.broker, backend=self.backend, settings=settings or {}, secrets=str(self.secrets)
            ),
            encoding="utf-8",
        )
        done = subprocess.run(
            [sys.executable, "-m", "attune_tasks.cli", "-A", "mine:app", "doctor"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(self.folder), **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        self.all = done.stdout
        lines = [re.split(" {2,}", line, maxsplit=2) for line in done.stdout.splitlines()]
        return {subject: f"{verdict} {text}" for verdict, subject, text in lines if verdict != "ok"}


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server whose settings may be changed."""
    server = RedisServer(tmp_path_factory.mktemp("own-redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def doctor(tmp_path: Path, redis_server: RedisServer) -> Doctor:
    write_packs(tmp_path)
    return Doctor(tmp_path, write_secrets(tmp_path), redis_server.url(9), redis_server.url(9))


@pytest.fixture
def evicting(own_server: RedisServer) -> Iterator[str]:
    with own_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        yield own_server.url()
        client.config_set("maxmemory-policy", "noeviction")


def test_all_is_well_on_a_plain_redis(doctor: Doctor) -> None:
    assert doctor.say(0) == {}
    assert (
        "ok    visibility          3600 s; a message that comes again is dropped, for executions are claimed"
        in doctor.all
    )
    assert "ok    results             kept for 86400 s" in doctor.all
    assert "ok    shared state        Redis, keys attune:{mine}:…; a restart loses all of it; claims" in doctor.all
    assert "ok    signing             off: whoever can write to the broker can run actions" in doctor.all


def test_what_a_restart_of_redis_keeps_is_said(doctor: Doctor, own_server: RedisServer) -> None:
    doctor.broker = doctor.backend = own_server.url()
    with own_server.client() as client:
        for rules, said in (("60 1", "a restart loses what came since its last snapshot"), ("", "loses all of it")):
            client.config_set("save", rules)
            assert doctor.say(0) == {}
            assert said in doctor.all
        client.config_set("appendonly", "yes")
        try:
            for fsync, loses in (
                ("always", "nothing"),
                ("everysec", "up to 2 s of it"),
                ("no", "what the system has not written yet, about 30 s of it"),
            ):
                client.config_set("appendfsync", fsync)
                assert doctor.say(0) == {}
                said = f"a restart keeps it (append-only file), a crash loses {loses} (appendfsync {fsync}); claims"
                assert said in doctor.all
        finally:
            client.config_set("appendfsync", "everysec")
            client.config_set("appendonly", "no")


def test_without_shared_state_it_is_said_what_is_off(doctor: Doctor) -> None:
    doctor.backend = f"file://{doctor.folder}"
    assert doctor.say(0) == {}
    assert "shared state        none, for the result backend is no Redis: no claims" in doctor.all
    assert "3600 s, and no action runs longer than 3600 s" in doctor.all


def test_a_broker_that_evicts_is_a_failure(doctor: Doctor, evicting: str) -> None:
    doctor.broker = evicting
    said = doctor.say(4)
    assert list(said) == ["broker"]
    assert said["broker"].startswith("FAIL this Redis has the maxmemory-policy allkeys-lru")
    assert "maxmemory-policy noeviction" in said["broker"]


def test_a_result_backend_that_evicts_is_a_failure(doctor: Doctor, evicting: str) -> None:
    doctor.backend = evicting
    assert list(doctor.say(4)) == ["backend", "shared state"]


def test_shared_state_that_is_evicted_is_a_failure(doctor: Doctor, evicting: str) -> None:
    assert list(doctor.say(4, None, ATTUNE_TASKS_STATE_URL=evicting)) == ["shared state"]


def test_the_same_server_is_well_again_without_eviction(doctor: Doctor, own_server: RedisServer) -> None:
    doctor.broker = doctor.backend = own_server.url()
    assert doctor.say(0) == {}


def test_results_that_are_ignored_are_a_failure(doctor: Doctor) -> None:
    assert doctor.say(4, {"task_ignore_result": True})["results"].startswith("FAIL task_ignore_result is true")
    annotated = {"task_annotations": {"attune_tasks.run_action": {"ignore_result": True}}}
    assert "task_annotations" in doctor.say(4, annotated)["results"]
    doctor.backend = "disabled://"
    assert "there is no result backend" in doctor.say(4)["results"]


@pytest.mark.parametrize(
    ("settings", "variables", "said"),
    [
        ({"visibility_timeout": 60}, {}, "is 60 s, and an action may run for 3600 s"),
        ({}, {"ATTUNE_TASKS_TIMEOUT": "7200"}, "is 3600 s, and an action may run for 7200 s"),
        ({"visibility_timeout": 3599}, {"ATTUNE_TASKS_TIMEOUT": "10"}, "and an action may run for 5000 s"),
    ],
)
def test_a_visibility_timeout_shorter_than_what_runs_is_a_failure(
    doctor: Doctor, settings: dict[str, object], variables: dict[str, str], said: str
) -> None:
    if "5000" in said:
        path = doctor.folder / "packs" / "work" / "actions" / "add.yaml"
        path.write_text(path.read_text(encoding="utf-8") + "timeout: 5000\n", encoding="utf-8")
    doctor.backend = f"file://{doctor.folder}"  # no Redis, so no claims
    found = doctor.say(4, {"broker_transport_options": settings}, **variables)
    assert list(found) == ["visibility"]
    assert said in found["visibility"]
    assert "set visibility_timeout in broker_transport_options" in found["visibility"]


def test_a_visibility_timeout_that_is_long_enough_is_well(doctor: Doctor) -> None:
    options = {"broker_transport_options": {"visibility_timeout": 7200}}
    doctor.backend = f"file://{doctor.folder}"
    assert doctor.say(0, options, ATTUNE_TASKS_TIMEOUT="7200") == {}


def test_settings_that_hurt_are_named_each_in_a_line_and_are_no_failure(doctor: Doctor) -> None:
    found = doctor.say(0, {"result_extended": True, "worker_prefetch_multiplier": 4})
    assert found == {
        "result_extended": "warn parameters are stored with every result: result_extended = False",
        "worker_prefetch_multiplier": "warn messages wait behind a long action while another worker is free:"
        " worker_prefetch_multiplier = 1",
    }


def test_signing_is_told_with_its_keys_and_without_quoting_one(doctor: Doctor) -> None:
    key = write_key(doctor.folder / "keys", "a" * 40, "b" * 40)
    variables = {"ATTUNE_TASKS_MESSAGE_KEY_FILE": str(key)}
    assert doctor.say(0, None, **variables) == {}
    assert f"ok    signing             on: 2 keys, the first of which signs, in {key}" in doctor.all
    assert "aaaa" not in doctor.all
    assert "FAIL task_protocol is 1" in doctor.say(4, {"task_protocol": 1}, **variables)["signing"]
    key.chmod(0o644)
    assert f"chmod 600 {key}" in doctor.say(4, None, **variables)["signing"]
