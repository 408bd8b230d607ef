"""What is counted, what a label may be, and how figures get to the process that counts."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from attune_tasks._celery.launchers_seen import SeenLauncher
from attune_tasks._celery.metrics import server
from attune_tasks._celery.metrics.counters import UNKNOWN_ACTION, Counters
from attune_tasks._celery.metrics.figures import FIGURES, Figures, seconds_waited
from attune_tasks.audit import write_audit
from attune_tasks.context import ExecutionRequest
from attune_tasks.errors import SecretsUnavailableError
from attune_tasks.ids import new_execution_id, task_id_of
from attune_tasks.result import ExecutionResult
from attune_tasks.secrets import SecretManager, SecretReference
from attune_tasks.secrets.records import SecretFields
from attune_tasks.settings import load_settings


@pytest.fixture
def counters() -> Counters:
    return Counters(
        lambda ref: ref == "work.add", lambda: [SeenLauncher(4711, "work", busy=False, age_seconds=3, memory_kib=7000)]
    )


@pytest.fixture
def figures() -> Iterator[Figures]:
    made = Figures()
    yield made
    made.close()


def test_only_known_actions_have_a_label_of_their_own(counters: Counters) -> None:
    for ref in ("work.add", *(f"stranger.{number}" for number in range(1000))):
        counters.take({"action": ref, "status": "succeeded"})
    text = counters.text().decode()
    assert 'executions_total{action="work.add",status="succeeded"} 1.0' in text
    assert f'executions_total{{action="{UNKNOWN_ACTION}",status="succeeded"}} 1000.0' in text
    assert "stranger" not in text


def test_no_stranger_makes_up_a_status_or_a_place(counters: Counters) -> None:
    counters.take({"action": "work.add", "status": "made-up", "masked": {"made-up": 3, "stdout": 2}})
    text = counters.text().decode()
    assert "made-up" not in text
    assert 'masked_total{action="work.add",place="stdout"} 2.0' in text


def test_launchers_are_those_of_the_moment(counters: Counters) -> None:
    assert 'attune_tasks_launchers{pack="work",state="idle"} 1.0' in counters.text().decode()


def test_a_result_tells_its_figures_and_no_more(figures: Figures) -> None:
    taken: list[Mapping[str, Any]] = []
    figures.open(taken.append)
    now = datetime.now(UTC)
    masked = {"api_key": {"stdout": 2, "result": 1}, "password": {"stdout": 1}}
    result = ExecutionResult(7, "work.add", "failed", 1, duration_ms=1500, started_at=now, masked=masked, stdout="said")
    figures.result(result, 0.25)
    assert taken == [
        {
            "action": "work.add",
            "status": "failed",
            "waited": 0.25,
            "masked": {"stdout": 3, "result": 1},
            "seconds": 1.5,
            "lost": 0,
        }
    ]


def test_no_execution_fails_for_its_figures(figures: Figures) -> None:
    taken: list[Mapping[str, Any]] = []

    def take(told: Mapping[str, Any]) -> None:
        taken.append(told)
        if len(taken) == 1:
            raise ValueError

    figures.open(take)
    figures.end("work.add", "succeeded")
    figures.end("work.add", "succeeded")
    assert [told["lost"] for told in taken] == [0, 1]


class _Store:
    """A provider: some fields are there, one place hangs until it is let go."""

    name = "store"

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def read(self, reference: SecretReference, *, deadline: float) -> Mapping[str, object]:  # noqa: ARG002 - a provider's
        if reference.path == "slow":
            self.let_go.wait(30)
        if reference.path == "kept":
            return SecretFields({"key": "kept-value-1"}, cached=True)
        if reference.path == "there":
            return {"key": "value-1", "other": "value-2", "odd": "nul\0within"}
        message = "nothing there"
        raise SecretsUnavailableError(message)

    def describe(self) -> str:
        return "store"


def test_each_secret_that_was_asked_for_is_counted_by_how_that_ended(figures: Figures, counters: Counters) -> None:
    figures.open(counters.take)
    store = _Store()
    manager = SecretManager({"store": store}, default_provider="store", fetch_timeout=0.5)
    names = ["there#key", "there#other", "there#nope", "there#odd", "kept#key", "missing#key", "missing#other"]
    names.append("slow#key")  # the last one: they are read one after the other
    declared = {f"s{number}": SimpleNamespace(ref=ref, required=False) for number, ref in enumerate(names)}
    request = ExecutionRequest(7, "work.add", {})
    try:
        manager.fetch_secrets_for_action(
            SimpleNamespace(ref="work.add", secrets=declared),
            observe=lambda records: write_audit(request, "work.add", records),
        )
    finally:
        store.let_go.set()
    text = counters.text().decode()
    told = dict(re.findall(r'secret_reads_total\{outcome="(\w+)",provider="store"\} (\d+)\.0', text))
    assert told == {
        "read": "2",
        "cached": "1",
        "failed": "2",
        "no_such_field": "1",
        "unusable": "1",
        "not_in_time": "1",
    }
    assert "value-" not in text


def in_a_fork(work: Any) -> None:
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_fork_sends_to_the_process_that_counts_and_never_waits_for_it(figures: Figures) -> None:
    figures.open(lambda _: None)
    ours = figures._ours
    assert ours
    ours.setblocking(False)  # noqa: FBT003 - it takes no name

    def more_than_fits() -> None:
        for _ in range(10_000):
            figures.end("work.add", "succeeded")

    in_a_fork(more_than_fits)
    packets = 0
    with suppress(BlockingIOError):
        while json.loads(ours.recv(4096)):
            packets += 1
    assert 10 < packets < 10_000

    def one_more_after_some_were_lost() -> None:
        figures._lost = 7
        figures.end("work.add", "failed")

    in_a_fork(one_more_after_some_were_lost)
    assert json.loads(ours.recv(4096)) == {"action": "work.add", "status": "failed", "lost": 7}


def test_where_nobody_counts_nothing_is_told(figures: Figures) -> None:
    figures.end("work.add", "succeeded")
    assert figures._theirs is None


def test_it_is_off_by_default_and_at_the_loopback_interface_alone() -> None:
    settings = load_settings(environ={}).settings.metrics
    assert (settings.port, settings.address) == (None, "127.0.0.1")
    app = Celery("off", set_as_current=False)
    server.ready(app)
    assert server.MetricsStep not in app.steps["worker"]


def test_a_worker_without_the_extra_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("without", set_as_current=False)
    app.conf.attune_tasks = {"metrics": {"port": 0}}
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"pip install 'attune-tasks\[metrics\]'"):
        server.ready(app)


def test_a_port_that_is_taken_costs_the_figures_and_not_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        app = Celery("taken", set_as_current=False)
        app.conf.attune_tasks = {"metrics": {"port": taken.getsockname()[1]}}
        server.ready(app)
        step = server.MetricsStep(SimpleNamespace())
        try:
            with caplog.at_level(logging.ERROR):
                step.start(SimpleNamespace(app=app))
            assert "Address already in use" in caplog.text
            step.stop(SimpleNamespace())
        finally:
            FIGURES.close()


def waited(execution_id: int, **request: Any) -> float | None:
    return seconds_waited(SimpleNamespace(id=task_id_of(execution_id), retries=0, eta=None, **request))


def test_the_wait_counts_from_when_an_execution_was_made_or_was_due() -> None:
    made = new_execution_id()
    fresh = waited(made)
    assert fresh is not None
    assert fresh < 5
    earlier = waited(made - (10_000 << 21))
    assert earlier is not None
    assert 9.9 < earlier < 15
    due = (datetime.now(UTC) - timedelta(seconds=2)).isoformat()
    later = seconds_waited(SimpleNamespace(id=task_id_of(made - (10_000 << 21)), retries=0, eta=due))
    assert later is not None
    assert 1.9 < later < 7


def test_where_the_time_is_not_known_there_is_no_wait() -> None:
    assert waited(12345) is None  # an id that a caller has given
    assert waited(new_execution_id() + (int(1e10) << 21)) is None
    assert seconds_waited(SimpleNamespace(id="foreign", retries=0, eta=None)) is None
    assert seconds_waited(SimpleNamespace(id=task_id_of(new_execution_id()), retries=1, eta=None)) is None
    assert seconds_waited(SimpleNamespace(id=None, retries=0, eta=None)) is None
