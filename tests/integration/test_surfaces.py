"""Broker, backend, log and events hold no secret afterwards; each look is shown to be able to find one."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from attune_tasks import Handle, enqueue
from attune_tasks.tasks import NAME
from tests.celery_worker import CeleryWorker
from tests.integration.packs import SECRETS
from tests.integration.surfaces import captured_commands, captured_events, holds
from tests.integration.workers import Place, make_place, worker
from tests.waiting import wait_until

ACTIONS = ("work.tell", "work.tell_shell", "work.tell_executable")
SLOW = ("work.tell_slowly", "work.tell_slowly_shell")
PLANTED = {name: f"Planted-in-the-{name}-Kd83" for name in ("broker", "backend", "shown")}
KIBIBYTE = 1024


@dataclass(frozen=True)
class Setting:
    """Which broker and backend, and which pool."""

    place: Place
    pool: str

    def commands(self) -> AbstractContextManager[list[bytes]]:
        """Note what is said to Redis; nothing is where there is none."""
        return captured_commands(self.place.redis.client()) if self.place.redis else nullcontext([])


@pytest.fixture(params=["embedded-prefork", "redis-prefork", "redis-threads"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    broker, pool = request.param.split("-")
    return Setting(make_place(tmp_path, request.getfixturevalue("redis_server") if broker == "redis" else None), pool)


def ended(events: list[dict[str, Any]], handles: list[Handle]) -> bool:
    """Tell whether the last event of each execution is there."""
    seen = {event["uuid"] for event in events if event["type"] in {"task-succeeded", "task-failed"}}
    return seen >= {handle.task_id for handle in handles}


def test_no_surface_holds_a_secret_afterwards(setting: Setting) -> None:
    place = setting.place
    client = place.client()
    # Enqueued before the worker starts: so the messages can be looked at where they wait.
    handles = [enqueue(ref, {"fail": fail}, app=client) for ref in ACTIONS for fail in (False, True)]
    handles += [enqueue(ref, {"fail": False}, timeout=0.5, app=client) for ref in SLOW]
    handles.append(Handle(client.send_task(NAME, args=["work.unknown"])))
    surfaces = {f"{name}, before": surface for name, surface in place.stored().items() if "broker" in name}
    with (
        captured_events(client) as events,
        setting.commands() as commands,
        worker(place, "-P", setting.pool, "-c", "2") as running,
    ):
        results = [handle.result(timeout=30) for handle in handles]
        wait_until(lambda: ended(events, handles), "the events")
        surfaces["events"] = json.dumps(events).encode()
        surfaces["log"] = running.log_path.read_bytes()
        surfaces |= place.stored()
        if commands:
            surfaces["all that was said to redis"] = b"\n".join(commands)
        # Each prints its secrets, the failing python action raises an exception with them, and the slow ones are ended.
        assert [result.status for result in results] == [*["succeeded", "failed"] * 3, *["timed_out"] * 2, "error"]
        assert all("***" in result.stdout for result in results[:-1])
        assert results[1].error
        assert "***" in results[1].error["message"]
        for name, surface in surfaces.items():
            seen = all(handle.task_id.encode() in surface for handle in handles)
            # The embedded broker deletes what was received; a queue that nobody consumes holds replies and events.
            assert seen or name == "broker", name
            assert [secret for secret in SECRETS.values() if holds(surface, secret)] == [], name

        # The counter-test: what is given where it does not belong is found by the same look, on every surface.
        client.backend.store_result("planted", {"output": PLANTED["backend"]}, "SUCCESS")
        client.send_task(NAME, args=["work.add", {"a": PLANTED["broker"]}], argsrepr="", queue="unconsumed")
        shown = Handle(client.send_task(NAME, args=["work.add", {"a": 1}], shadow=PLANTED["shown"]))
        shown.result(timeout=30)
        wait_until(lambda: holds(json.dumps(events).encode(), PLANTED["shown"]), "the planted event")
        stored = place.stored()
        assert holds(stored.get("broker") or stored["broker and backend"], PLANTED["broker"])
        assert holds(stored.get("backend") or stored["broker and backend"], PLANTED["backend"])
        assert holds(running.log_path.read_bytes(), PLANTED["shown"])
        if place.redis:
            wait_until(
                lambda: all(holds(b"\n".join(commands), planted) for planted in PLANTED.values()), "planted commands"
            )


@pytest.mark.parametrize("secret", SECRETS.values())
def test_a_secret_is_found_in_each_way_that_it_could_be_written(secret: str) -> None:
    import base64

    for text in (secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr([secret])):
        assert holds(text.encode(), secret)
        assert holds(base64.b64encode(f"[{text}]".encode()), secret)
    assert not holds(b"nothing of that kind", secret)


def test_events_stay_small_whatever_goes_in_and_comes_out(prefork_worker: CeleryWorker, client: Celery) -> None:
    ballast = "ж" * 50_000
    with captured_events(client) as events:
        handles = [
            enqueue("work.large", {"letter": letter, "fail": fail, "ballast": ballast}, app=client)
            for letter in ("x", "ж", "🦊")
            for fail in (False, True)
        ]
        # A sender that knows nothing of us has Celery show the parameters themselves.
        foreign = client.send_task(NAME, args=["work.large"], kwargs={"parameters": {"ballast": ballast, "fail": True}})
        handles.append(Handle(foreign))
        for handle in handles:
            handle.result(timeout=30)
        wait_until(lambda: ended(events, handles), "the events")
    of_workers = [event for event in events if event["type"].startswith("task-") and event["type"] != "task-sent"]
    own = [event for event in events if event["type"] == "task-sent" and event["uuid"] != foreign.id]
    assert {event["type"] for event in of_workers} == {
        "task-received",
        "task-started",
        "task-succeeded",
        "task-failed",
    }
    assert len(own) == len(handles) - 1
    assert {event["name"] for event in own} == {"work.large"}  # a monitor may get it last, and shows the last name
    sizes = {len(json.dumps(event)): event for event in [*of_workers, *own]}
    assert max(sizes) < 2 * KIBIBYTE, sizes[max(sizes)]
    assert all("🦊" not in json.dumps(event, ensure_ascii=False) for event in own)
    assert all("ballast" in event["kwargs"] for event in own)
    # A monitor that hears it after the worker's own events takes the name from it.
    assert {event["name"] for event in own} == {"work.large"}
