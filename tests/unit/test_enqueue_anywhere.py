"""Enqueueing needs nothing that only POSIX has. There is no Windows here: its missing modules are taken away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

POSIX_ONLY = ("fcntl", "grp", "posix_spawn", "pty", "pwd", "resource", "termios", "tty", "syslog")

SIGNED = """
import os
from pathlib import Path
del os.geteuid, os.O_NONBLOCK
import tempfile
with tempfile.TemporaryDirectory() as folder:
    key = Path(folder, "key")
    key.write_text("k" * 64)
    app = Celery("signed", broker="memory://", backend="cache+memory://")
    app.conf.attune_tasks = {"packs": [sys.argv[1]], "message_key_file": str(key)}
    attune_tasks.enqueue("hello.greet", {"name": "you"}, app=app, queue="signed")
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue("signed").get(timeout=5)
        assert any("signature" in name for name in message.headers), message.headers
        message.ack()
"""

# Celery and its libraries go by sys.platform, so they are loaded first.
CODE = """
import sys
import celery.backends.cache
import celery.result
import kombu.transport.memory
for name in sys.argv[2:]:
    sys.modules[name] = None
sys.modules["readline"] = None
import attune_tasks
from attune_tasks.testing import captured, fake_result
from celery import Celery
app = Celery("far", broker="memory://", backend="cache+memory://")
app.conf.attune_tasks = {"packs": [sys.argv[1]]}
with captured() as calls, fake_result("hello.greet", {"a": 1}):
    handle = attune_tasks.enqueue("hello.greet", {"name": "you"}, app=app)
    assert handle.result(1).result == {"a": 1}
    assert handle.status() == "succeeded"
    try:
        attune_tasks.enqueue("hello.gret", app=app)
    except attune_tasks.AttuneTasksError as error:
        assert "hello.greet" in str(error)
    else:
        raise AssertionError("packs were not looked at")
assert [call.action_ref for call in calls] == ["hello.greet"]
handle = attune_tasks.enqueue("hello.greet", {"name": "you"}, app=app)
with app.connection_for_read() as connection:
    message = connection.SimpleQueue("celery").get(timeout=5)
    assert message.headers["id"] == handle.task_id and message.payload[0] == ["hello.greet", {"name": "you"}], message
    message.ack()
assert handle.status() == "pending"
stored = {"execution_id": "1", "action_ref": "hello.greet", "status": "failed"}
app.backend.store_result(handle.task_id, stored, "SUCCESS")
assert handle.status() == "failed" and handle.result(5).action_ref == "hello.greet"
assert [event.to_dict() for event in handle.follow()] == [{"type": "end", "status": "failed"}]
import attune_tasks._celery.live_events
assert "attune_tasks.process" not in sys.modules
"""


def run(last: str) -> subprocess.CompletedProcess[str]:
    packs = Path(__file__).parents[2] / "config" / "packs"
    command = [sys.executable, "-c", CODE + last, str(packs), *POSIX_ONLY]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_signing_needs_no_posix_function() -> None:
    done = run(SIGNED)
    assert done.returncode == 0, done.stderr


def test_enqueueing_and_status_need_no_posix_module() -> None:
    done = run("")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["attune_tasks.executor", "attune_tasks.runtimes"])
def test_running_does_need_them_so_the_look_can_see_it(module: str) -> None:
    assert "ModuleNotFoundError" in run(f"import {module}").stderr
