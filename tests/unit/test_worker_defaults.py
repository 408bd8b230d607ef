"""A worker's settings where nobody says otherwise, and what the user says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, signals

from attune_tasks._celery.worker_defaults import OWN_APP_DEFAULTS, WORKER_DEFAULTS, fill_in
from tests.integration.workers import ROOT

CANCEL = "worker_cancel_long_running_tasks_on_connection_loss"


def own_app(**options: Any) -> Celery:
    return Celery("own", set_as_current=False, **options)


def test_an_app_of_ones_own_gets_what_is_not_set() -> None:
    app = own_app()
    fill_in(app)
    assert {name: app.conf[name] for name in WORKER_DEFAULTS} == dict(WORKER_DEFAULTS)


def test_it_happens_before_a_worker_reads_its_settings() -> None:
    app = own_app()
    signals.celeryd_init.send(sender="w@h", instance=SimpleNamespace(app=app), conf=app.conf, options={})
    assert app.conf.worker_prefetch_multiplier == 1


def by_update(values: dict[str, Any]) -> Celery:
    app = own_app()
    app.conf.update(values)
    return app


def by_attribute(values: dict[str, Any]) -> Celery:
    app = own_app()
    for name, value in values.items():
        setattr(app.conf, name, value)
    return app


def by_object(values: dict[str, Any]) -> Celery:
    app = own_app()
    app.config_from_object(SimpleNamespace(**values))
    return app


def by_namespace(values: dict[str, Any]) -> Celery:
    app = own_app()
    app.config_from_object(SimpleNamespace(**{f"CELERY_{n.upper()}": v for n, v in values.items()}), namespace="CELERY")
    return app


def by_argument(values: dict[str, Any]) -> Celery:
    return own_app(**values)


def by_defaults(values: dict[str, Any]) -> Celery:
    app = own_app()
    app.add_defaults(lambda: values)
    return app


@pytest.mark.parametrize("way", [by_update, by_attribute, by_object, by_namespace, by_argument, by_defaults])
def test_what_the_user_sets_wins_in_whatever_way(way: Any) -> None:
    values = {"worker_prefetch_multiplier": 8, "worker_send_task_events": False, "redis_socket_timeout": 5.0}
    app = way(values)
    fill_in(app)
    assert {name: app.conf[name] for name in values} == values
    assert app.conf.worker_soft_shutdown_timeout == WORKER_DEFAULTS["worker_soft_shutdown_timeout"]


def test_what_the_user_sets_as_celery_has_it_by_default_wins_too() -> None:
    app = by_update({"worker_prefetch_multiplier": 4, "worker_soft_shutdown_timeout": 0.0})
    fill_in(app)
    assert (app.conf.worker_prefetch_multiplier, app.conf.worker_soft_shutdown_timeout) == (4, 0.0)


def test_what_the_user_sets_afterwards_wins() -> None:
    app = own_app()
    fill_in(app)
    app.conf.worker_prefetch_multiplier = 8
    assert app.conf.worker_prefetch_multiplier == 8


def test_what_other_tasks_accept_and_store_is_left_alone() -> None:
    app = by_update({"accept_content": ["json", "yaml"]})
    plain = own_app()
    fill_in(app)
    assert app.conf.accept_content == ["json", "yaml"]
    for name in OWN_APP_DEFAULTS.keys() - {"accept_content", CANCEL}:
        assert app.conf[name] == plain.conf[name], name


def test_late_acks_of_other_tasks_are_not_cancelled_for_our_sake() -> None:
    app = own_app()
    fill_in(app)
    assert app.conf[CANCEL] is True
    late = own_app()

    @late.task(name="own.late", acks_late=True, shared=False)
    def run_late() -> None:
        """Do nothing."""

    fill_in(late)
    assert not late.conf[CANCEL]
    all_late = by_update({"task_acks_late": True})
    fill_in(all_late)
    assert not all_late.conf[CANCEL]


def test_options_of_a_redis_broker_are_filled_in_one_by_one() -> None:
    app = by_update({"broker_url": "redis://localhost", "broker_transport_options": {"socket_timeout": 5, "x": 1}})
    fill_in(app)
    wanted = {"socket_timeout": 5, "x": 1, "socket_keepalive": True, "health_check_interval": 25}
    assert app.conf.broker_transport_options == wanted
    other = by_update({"broker_url": "amqp://localhost"})
    fill_in(other)
    assert other.conf.broker_transport_options == {}
    assert (app.conf.broker_channel_error_retry, other.conf.broker_channel_error_retry) == (True, False)
    own = by_update({"broker_url": "redis://localhost", "broker_channel_error_retry": False})
    fill_in(own)
    assert not own.conf.broker_channel_error_retry


SHOW = """
import json
from attune_tasks.app import app
names = %r
print(json.dumps({name: app.conf[name] for name in names}))
"""


def ready_made(folder: Path, *names: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", SHOW % (list(names),)]
    return subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_the_ready_made_app_has_them_all(tmp_path: Path) -> None:
    wanted = {**WORKER_DEFAULTS, **OWN_APP_DEFAULTS}
    assert json.loads(ready_made(tmp_path, *wanted).stdout) == wanted


def test_each_setting_of_the_ready_made_app_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "attune-tasks.toml").write_text(
        'broker_url = "redis://localhost"\n[celery]\nworker_prefetch_multiplier = 4\nresult_extended = true\n'
        "broker_transport_options = {visibility_timeout = 7200, socket_timeout = 5}\n",
        encoding="utf-8",
    )
    names = ("worker_prefetch_multiplier", "result_extended", "broker_transport_options")
    shown = json.loads(ready_made(tmp_path, *names).stdout)
    assert (shown["worker_prefetch_multiplier"], shown["result_extended"]) == (4, True)
    assert shown["broker_transport_options"] == {
        "visibility_timeout": 7200,
        "socket_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }


def test_a_name_that_celery_does_not_have_is_refused(tmp_path: Path) -> None:
    variables = {"ATTUNE_TASKS_CELERY": '{"worker_prefetch_multiplyer": 4}'}
    done = ready_made(tmp_path, "result_extended", **variables)
    assert done.returncode == 1
    said = "celery.worker_prefetch_multiplyer: Celery has no such setting; did you mean worker_prefetch_multiplier?"
    assert said in done.stderr
