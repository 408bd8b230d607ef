"""Signed messages, through a real Redis and a real prefork worker: what is refused, and what is run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kombu
import pytest
from celery import Celery, beat, chain, chord, group
from celery.app.task import Context
from celery.canvas import Signature

from attune_tasks import ActionFailed, ExecutionResult, Handle, enqueue
from attune_tasks._celery.publishing import judge
from attune_tasks._celery.signing import SIGNATURE_HEADER
from attune_tasks.tasks import NAME
from tests.celery_worker import CeleryWorker
from tests.integration.packs import write_packs, write_secrets
from tests.integration.signed import RedisPlace, write_key
from tests.integration.workers import Place, worker
from tests.redis_server import RedisServer
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("signed_worker")

SECONDS = 30
QUEUE = "set-aside"
"""No worker looks at it: what stands there is changed by the broker's list alone, and put before one."""

# Beside the ready-made app's own: a task of the user's, harmless by itand one that asks for an action.
OWN_TASKS = """\
from attune_tasks import enqueue
from attune_tasks.app import app

@app.task(name="own.double")
def double(number):
    return 2 * number

@app.task(name="own.ask")
def ask(path):
    return enqueue("work.touch", {"path": path}, app=app).task_id
"""
TOUCH = "from pathlib import Path\ndef run(params):\n    Path(params['path']).touch()\n    return params.get('value')\n"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[RedisPlace]:
    folder = tmp_path_factory.mktemp("signed")
    place = Place(folder, write_packs(folder), write_secrets(folder))
    actions = place.packs / "work" / "actions"
    (actions / "touch.py").write_text(TOUCH, encoding="utf-8")
    (actions / "touch.yaml").write_text(
        "ref: work.touch\nrunner_type: python\nentry_point: touch.py\nparameters:\n  path: {type: string}\n"
        "  value: {}\n",
        encoding="utf-8",
    )
    (folder / "own_tasks.py").write_text(OWN_TASKS, encoding="utf-8")
    made = RedisPlace(place, redis_server, 7, write_key(folder / "keys"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def signed_worker(signed: RedisPlace) -> Iterator[CeleryWorker]:
    path = {"PYTHONPATH": f"{signed.place.folder}:{signed.place.environ()['PYTHONPATH']}"}
    arguments = ("-P", "prefork", "-c", "2")
    with worker(signed.place, *arguments, app="own_tasks", environ=signed.environ() | path) as running:
        yield running


def refused(handle: Handle) -> str:
    """Wait for an end which must be a refusal, and give its text."""
    result = handle.result(timeout=SECONDS)
    assert result.error, result
    assert (result.status, result.error["type"], result.stdout) == ("error", "message_refused", "")
    return result.error["message"]


def marker(signed: RedisPlace, name: str) -> str:
    """Give the path of a file by which an action that ran is known."""
    return str(signed.place.folder / f"{name}-{time.monotonic_ns()}")


def ran(path: str) -> bool:
    return Path(path).exists()


ODD = {"float": 1.0, "small": 1e-7, "big": 2**60, "text": "Zoë \u2028 😀 \x7f", "tuple": (1, (2, 3.5)), "no": None}


def test_a_signed_message_runs_and_its_caller_is_no_claim(signed: RedisPlace, signed_worker: CeleryWorker) -> None:
    path = marker(signed, "signed")
    handle = enqueue("work.touch", {"path": path, "value": ODD}, caller="billing", timeout=5, app=signed.app())
    result = handle.result(timeout=SECONDS)
    assert (result.status, ran(path)) == ("succeeded", True), result.error
    assert result.result == {**ODD, "tuple": [1, [2, 3.5]]}
    assert f"execution {handle.execution_id} of work.touch starts, caller=billing" in signed_worker.log()


def send_by_kombu(url: str, path: str) -> str:
    """Send as anything would that can reach the broker."""
    task_id = str(uuid.uuid4())
    headers = {"lang": "py", "task": NAME, "id": task_id, "eta": None, "expires": None, "retries": 0}
    body: tuple[Any, ...] = (["work.touch", {"path": path}], {}, {})
    with kombu.Connection(url) as connection, connection.SimpleQueue("celery") as queue:
        queue.put(body, headers=headers)
    return task_id


@pytest.mark.parametrize(
    "send",
    [
        lambda app, path: enqueue("work.touch", {"path": path}, app=app).task_id,
        lambda app, path: app.send_task(NAME, args=["work.touch"], kwargs={"parameters": {"path": path}}).id,
        lambda app, path: send_by_kombu(app.conf.broker_url, path),
    ],
    ids=["enqueue", "send_task", "kombu alone"],
)
def test_an_unsigned_message_is_refused_and_nothing_runs(
    signed: RedisPlace, signed_worker: CeleryWorker, send: Callable[[Celery, str], str]
) -> None:
    path = marker(signed, "unsigned")
    task_id = send(signed.app(signed=False), path)
    handle = Handle.from_task_id(task_id, app=signed.app())
    assert "is not signed" in refused(handle)
    assert not ran(path)
    assert f"execution {handle.execution_id} of work.touch is refused, claimed_by=" in signed_worker.log()


def test_the_wrong_key_is_refused(signed: RedisPlace) -> None:
    other = write_key(signed.place.folder / "other-keys", "another key that nobody has told the worker of")
    assert "does not fit" in refused(enqueue("work.add", {"a": 1}, app=signed.app(message_key_file=str(other))))


@pytest.mark.parametrize("kind", ["chain", "chain after a task", "group", "chord's body", "link", "link_error"])
def test_canvas_is_signed_here_and_by_the_worker(signed: RedisPlace, kind: str) -> None:
    app, path = signed.app(), marker(signed, "canvas")
    touch = app.tasks[NAME].si("work.touch", {"path": path, "value": 5})
    add = app.tasks[NAME].si("work.add", {"a": 1})
    double = Signature("own.double", args=(4,), app=app, immutable=True)
    fail = app.tasks[NAME].si("work.tell", {"fail": True})
    made: dict[str, Callable[[], Any]] = {
        "chain": lambda: chain(add, add, touch, app=app),
        "chain after a task": lambda: chain(double, touch, app=app),
        "group": lambda: group([add, touch], app=app),
        "chord's body": lambda: chord([add, double], touch, app=app),
        "link": lambda: add.set(link=touch),
        "link_error": lambda: fail.set(link_error=touch),
    }
    made[kind]().apply_async()
    wait_until(lambda: ran(path), f"the action in the {kind}", SECONDS)


def test_a_task_of_ones_own_may_ask_for_an_action(signed: RedisPlace) -> None:
    app, path = signed.app(), marker(signed, "asked")
    task_id = app.send_task("own.ask", args=[path]).get(timeout=SECONDS)
    assert Handle.from_task_id(task_id, app=app).result(timeout=SECONDS).status == "succeeded"
    assert ran(path)


@pytest.mark.parametrize("way", ["chain", "link", "chord"])
@pytest.mark.parametrize("task", ["own.double", "celery.accumulate"])
def test_the_worker_signs_nothing_that_hangs_on_an_unsigned_message(
    signed: RedisPlace, task: str, signed_worker: CeleryWorker, way: str
) -> None:
    stranger, path = signed.app("stranger", signed=False), marker(signed, "deputy")
    touch = Signature(NAME, args=("work.touch", {"path": path}), app=stranger, immutable=True)
    touch.freeze()
    first = Signature(task, args=(4,), app=stranger, immutable=True)
    if way == "chain":
        (first | touch).apply_async()
    elif way == "link":
        first.apply_async(link=[touch])
    else:
        chord([first, first.clone()], touch, app=stranger).apply_async()
    assert "is not signed" in refused(Handle.from_task_id(touch.options["task_id"], app=signed.app()))
    assert not ran(path)
    assert f"a message of {touch.options['task_id']} goes out unsigned" in signed_worker.log()


def test_a_refused_message_takes_its_own_callbacks_with_it(signed: RedisPlace) -> None:
    stranger, path = signed.app("stranger", signed=False), marker(signed, "errback")
    touch = Signature(NAME, args=("work.touch", {"path": path}), app=stranger, immutable=True)
    touch.freeze()
    sent = stranger.tasks[NAME].apply_async(("work.add", {"a": 1}), link_error=[touch])
    refused(Handle.from_task_id(sent.id, app=signed.app()))
    refused(Handle.from_task_id(touch.options["task_id"], app=signed.app()))
    assert not ran(path)


@pytest.mark.parametrize("task", ["celery.map", "celery.starmap"])
def test_a_call_within_another_task_is_refused(signed: RedisPlace, task: str) -> None:
    stranger, path = signed.app("stranger", signed=False), marker(signed, "inside")
    item = ["work.touch", {"path": path}]
    inner = Signature(NAME, app=stranger)
    sent = stranger.send_task(task, kwargs={"task": inner, "it": [item if task.endswith("starmap") else item[0]]})
    with pytest.raises(Exception, match="came by no message") as raised:
        sent.get(timeout=SECONDS)
    assert type(raised.value).__name__ == "ActionFailed"
    assert not ran(path)


def take(signed: RedisPlace, **options: Any) -> tuple[Handle, dict[str, Any], Any, str]:
    path = marker(signed, "changed")
    handle = enqueue("work.touch", {"path": path, "value": 1}, queue=QUEUE, app=signed.app(), **options)
    return handle, *signed.take(QUEUE), path


def test_what_was_not_changed_runs(signed: RedisPlace, signed_worker: CeleryWorker) -> None:
    handle, message, body, path = take(signed)
    signed.put(message, body)
    assert handle.result(timeout=SECONDS).status == "succeeded"
    assert ran(path)


CHANGES: dict[str, tuple[tuple[Any, ...], Any]] = {
    "value": (("body", 0, 1, "value"), 2),
    "a float for an int": (("body", 0, 1, "value"), 1.0),
    "true for 1": (("body", 0, 1, "value"), True),
    "ref": (("body", 0, 0), "work.add"),
    "timeout": (("body", 1, "timeout"), 9000),
    "env": (("body", 1, "env"), {"LD_PRELOAD": "x"}),
    "caller": (("headers", "attune_caller"), "root"),
    "callbacks": (("body", 2, "callbacks"), [{"task": NAME, "args": ["work.touch", {}]}]),
    "errbacks": (("body", 2, "errbacks"), [{"task": "own.double", "args": [1]}]),
    "no signature": (("headers", SIGNATURE_HEADER), None),
    "another version": (("headers", SIGNATURE_HEADER), "2:1:00"),
    "a list": (("headers", SIGNATURE_HEADER), ["1:1"]),
    "not ascii": (("headers", SIGNATURE_HEADER), "1:9999999999:é"),
    "a far end": (("headers", SIGNATURE_HEADER), f"1:9999999999:{'0' * 64}"),
}


@pytest.mark.parametrize(("place", "value"), CHANGES.values(), ids=list(CHANGES))
def test_each_part_that_is_changed_is_noticed(signed: RedisPlace, place: tuple[Any, ...], value: Any) -> None:
    handle, message, body, path = take(signed)
    part: Any = {"headers": message["headers"], "body": body}
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    signed.put(message, body)
    assert "sign" in refused(handle)
    assert not ran(path)


def test_the_end_of_a_signature_is_signed(signed: RedisPlace) -> None:
    handle, message, body, path = take(signed)
    version, ends, mac = message["headers"][SIGNATURE_HEADER].split(":")
    message["headers"][SIGNATURE_HEADER] = f"{version}:{int(ends) + 1}:{mac}"
    signed.put(message, body)
    assert "does not fit" in refused(handle)
    assert not ran(path)


def test_a_signature_does_not_fit_another_task_id(signed: RedisPlace, signed_worker: CeleryWorker) -> None:
    _, message, body, path = take(signed)
    message["headers"]["id"] = message["properties"]["correlation_id"] = "another"
    signed.put(message, body)
    assert "does not fit" in refused(Handle.from_task_id("another", app=signed.app()))
    assert not ran(path)


def test_a_signature_is_not_moved_by_naming_its_task_id_in_the_body(
    signed: RedisPlace, signed_worker: CeleryWorker
) -> None:
    handle, message, body, path = take(signed)
    body[2]["id"] = message["headers"]["id"]
    message["headers"]["id"] = message["properties"]["correlation_id"] = "moved"
    before = signed_worker.log().count("invalid task")
    signed.put(message, body)
    wait_until(lambda: signed_worker.log().count("invalid task") > before, "it is refused")
    assert handle.status() == "pending"  # its own message is gone, and no other one speaks for it
    assert not ran(path)


@pytest.mark.parametrize(
    "headers",
    [
        {"attune_verdict": "right"},
        {"attune_verdict": [None]},
        {"attune_verdict": {"refusal": None}, "headers": "no mapping"},
        {"headers": {"attune_caller": "root"}},
        {"headers": 5},
    ],
)
def test_a_message_cannot_judge_itself(signed: RedisPlace, headers: dict[str, Any]) -> None:
    handle, message, body, path = take(signed)
    del message["headers"][SIGNATURE_HEADER]
    message["headers"].update(headers)
    signed.put(message, body)
    assert "is not signed" in refused(handle)
    assert not ran(path)


def test_a_stale_message_is_refused(signed: RedisPlace, signed_worker: CeleryWorker) -> None:
    path = marker(signed, "stale")
    app = signed.app(message_lifetime=1.0)
    handle = enqueue("work.touch", {"path": path}, queue=QUEUE, app=app)
    message, body = signed.take(QUEUE)
    ends = int(message["headers"][SIGNATURE_HEADER].split(":")[1])
    wait_until(lambda: time.time() > ends + 0.1, "the signature's end")
    signed.put(message, body)
    assert "its signature ended at" in refused(handle)
    assert not ran(path)


def test_a_signature_lives_from_the_eta_on(signed: RedisPlace) -> None:
    eta = datetime.now(UTC) + timedelta(days=30)
    _, message, _, _ = take(signed, eta=eta)
    ends = int(message["headers"][SIGNATURE_HEADER].split(":")[1])
    assert 0 <= ends - (eta.timestamp() + 7 * 86400) <= 1


def test_beat_signs(signed: RedisPlace, signed_worker: CeleryWorker) -> None:
    app, path = signed.app(), marker(signed, "beat")
    entry: dict[str, Any] = {"task": NAME, "schedule": 3600, "args": ["work.touch", {"path": path}]}
    scheduler = beat.Scheduler(app, schedule={}, lazy=True)
    sent = scheduler.apply_async(scheduler.Entry(name="touch", app=app, **entry), advance=False)
    assert Handle.from_task_id(sent.id, app=app).result(timeout=SECONDS).status == "succeeded"
    assert ran(path)


def test_celerys_retry_renews_the_signature(signed: RedisPlace, signed_worker: CeleryWorker) -> None:
    handle, message, body, path = take(signed, caller="billing")
    app = signed.app()
    task = app.tasks[NAME]
    first = message["headers"][SIGNATURE_HEADER]
    task.request_stack.push(Context(message["headers"], args=body[0], kwargs=body[1], called_directly=False))
    task.request.delivery_info = {"exchange": "", "routing_key": QUEUE}
    try:
        judge(task, handle.task_id)
        task.retry(countdown=3600, throw=False)
    finally:
        task.request_stack.pop()
    message, body = signed.take(QUEUE)
    headers = message["headers"]
    assert (headers["id"], headers["retries"], headers["attune_caller"]) == (handle.task_id, 1, "billing")
    renewed = headers[SIGNATURE_HEADER]
    assert int(renewed.split(":")[1]) - int(first.split(":")[1]) >= 3590
    headers["eta"] = None
    signed.put(message, body)
    assert handle.result(timeout=SECONDS).status == "succeeded"
    assert ran(path)


def test_each_of_several_keys_is_taken_and_the_first_one_signs(signed: RedisPlace, signed_worker: CeleryWorker) -> None:
    new = "a new key which the worker does not know yet, or does it"
    rotated = write_key(signed.place.folder / "rotated", signed.key_file.read_text(encoding="utf-8").strip(), new)
    assert result_of(signed.app(message_key_file=str(rotated))).status == "succeeded"
    turned = write_key(signed.place.folder / "turned", new, signed.key_file.read_text(encoding="utf-8").strip())
    assert (result_of(signed.app(message_key_file=str(turned))).error or {})["type"] == "message_refused"


def result_of(app: Celery) -> ExecutionResult:
    return enqueue("work.add", {"a": 1}, app=app).result(timeout=SECONDS)


def test_eager_calls_are_signed_for_themselves_and_direct_ones_are_refused(signed: RedisPlace) -> None:
    app = signed.app(secrets={"file": {"path": str(signed.place.secrets)}})
    assert app.tasks[NAME].apply(("work.add", {"a": 1})).get()["result"] == 3
    with pytest.raises(ActionFailed, match="message_refused"):
        app.tasks[NAME]("work.add", {"a": 1})


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_the_other_pools_judge_and_sign_too(signed: RedisPlace, pool: str) -> None:
    app, stranger, path = signed.app(), signed.app("stranger", signed=False), marker(signed, pool)
    queue = f"only-{pool}"
    task = app.tasks[NAME]
    with worker(signed.place, "-P", pool, "-c", "2", "-Q", queue, "-n", f"{pool}@%h", environ=signed.environ()):
        after = task.si("work.touch", {"path": path}).set(queue=queue)
        chain(task.si("work.add", {"a": 1}).set(queue=queue), after, app=app).apply_async()
        wait_until(lambda: ran(path), "the second step of the chain", SECONDS)
        hidden = marker(signed, f"hidden-{pool}")
        touch = Signature(NAME, args=("work.touch", {"path": hidden}), app=stranger, immutable=True).set(queue=queue)
        touch.freeze()
        stranger.send_task("celery.accumulate", args=[4], link=touch, queue=queue)
        assert "is not signed" in refused(Handle.from_task_id(touch.options["task_id"], app=app))
        assert not ran(hidden)
