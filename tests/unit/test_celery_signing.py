"""Signatures: their form, which can't change any more, and what fits which message."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from kombu.utils.json import dumps, loads

from attune_tasks._celery.signing import Message, sign, verify
from attune_tasks.errors import MessageRefusedError
from attune_tasks.tasks import NAME

KEY = b"0123456789abcdef0123456789abcdef"
OTHER = b"fedcba9876543210fedcba9876543210"
FAR = time.time() + 1000


def message(args: Any = ("work.add", {"a": 1}), kwargs: Any = None, *, task: str = NAME, **parts: Any) -> Message:
    return Message(task, parts.pop("task_id", "id-1"), args, kwargs or {}, parts.pop("afterwards", {}), "ada@host")


def header(signed: Message, key: bytes = KEY, ends: float = FAR) -> str:
    made = sign(signed, key, ends)
    assert made
    return made


def as_received(sent: Message) -> Message:
    args, kwargs, afterwards = loads(dumps([sent.args, sent.kwargs, dict(sent.afterwards)]))
    return sent._replace(args=args, kwargs=kwargs, afterwards=afterwards)


def test_the_form_is_the_one_that_workers_of_this_version_know() -> None:
    signed = message(("work.greet", {"name": "Zoë", "n": 1.0}), {"timeout": 5})
    assert signed.canonical(1800000000) == (
        b'{"afterwards":{"callbacks":null,"chain":null,"chord":null,"errbacks":null},"call":{"env":{},"parameters":'
        b'{"n":1.0,"name":"Zo\\u00eb"},"ref":"work.greet","timeout":5},"caller":"ada@host","ends":1800000000,'
        b'"task":"attune_tasks.run_action","task_id":"id-1"}'
    )
    made = sign(signed, KEY, 1799999999.0)
    assert made == "1:1800000000:f21ea558f51c7dcdc2ffd58713851161855a3ab7d2de36caf934f3330ac08ffb"


def test_it_does_not_matter_how_the_same_call_is_written() -> None:
    made = header(message())
    for args, kwargs in [
        (["work.add"], {"parameters": {"a": 1}}),
        ([], {"ref": "work.add", "parameters": {"a": 1}, "env": {}}),
        (["work.add", {"a": 1}], {"timeout": None, "env": None}),
    ]:
        verify(message(args, kwargs), [KEY], made)


def random_json(source: random.Random, depth: int = 3) -> Any:
    kind = source.randrange(9 if depth else 6)
    texts = ["", "é", "\u2028", "😀", "\x00", '"\\', "\ud800", "1", "a" * 50]
    if kind < 6:
        return [
            None,
            source.random() < 0.5,
            source.randrange(-(2**80), 2**80),
            source.choice([0.0, -0.0, 1.0, 1e-300, 1e22, 0.1, 2**53 + 1.0, source.random()]),
            source.choice(texts),
            source.choice(texts) + source.choice(texts),
        ][kind]
    items = [random_json(source, depth - 1) for _ in range(source.randrange(4))]
    return {6: items, 7: tuple(items), 8: {source.choice(texts) + str(i): each for i, each in enumerate(items)}}[kind]


def test_what_went_through_json_fits_and_nothing_else_does() -> None:
    source = random.Random(20260401)  # noqa: S311 - the same cases each time
    for _ in range(500):
        sent = message(("work.add", {"value": random_json(source)}), afterwards={"chain": [random_json(source)]})
        made = header(sent)
        received = as_received(sent)
        verify(received, [KEY], made)
        other = as_received(message(("work.add", {"value": random_json(source)}), afterwards=sent.afterwards))
        if json.dumps(other.args) != json.dumps(received.args):
            with pytest.raises(MessageRefusedError, match="does not fit"):
                verify(other, [KEY], made)


@pytest.mark.parametrize(
    "other",
    [
        message(task_id="id-2"),
        message(task="celery.chord_unlock"),
        message()._replace(caller="root"),
        message()._replace(caller=None),
        message(("work.add", {"a": 1}), {"timeout": 1}),
        message(("work.add", {"a": 1}), {"env": {"A": "1"}}),
        message(("work.add", {"a": "1"})),
        message(("work.add", {"a": 1}), {"unknown": 1}),
        message(("work.add", {"a": {1, 2}})),
        message(afterwards={"chain": [{"task": NAME}]}),
        message(afterwards={"chord": {"task": NAME}}),
    ],
)
def test_every_part_is_covered(other: Message) -> None:
    with pytest.raises(MessageRefusedError, match="does not fit"):
        verify(other, [KEY], header(message()))


def test_the_arguments_of_other_tasks_are_covered_as_they_are() -> None:
    made = header(message((1, [2]), {"three": 3}, task="own.task"))
    verify(message([1, [2]], {"three": 3}, task="own.task"), [KEY], made)
    with pytest.raises(MessageRefusedError):
        verify(message([1, [3]], {"three": 3}, task="own.task"), [KEY], made)


def test_any_key_that_is_known_fits_and_an_unknown_one_does_not() -> None:
    verify(message(), [OTHER, KEY], header(message()))
    with pytest.raises(MessageRefusedError, match="a key that is not known here"):
        verify(message(), [OTHER], header(message()))


def test_a_signature_ends() -> None:
    with pytest.raises(MessageRefusedError, match=r"ended at 20\d\d-.*\+00:00: enqueue it again"):
        verify(message(), [KEY], header(message(), ends=time.time() - 5))


@pytest.mark.parametrize(
    "wrong", ["", "1", "1:", "1:2", "1::", "2:1:00", "1:-5:00", "1:²:00", "1:9999999999999:00", b"1:1:00", 7, {}, ["1"]]
)
def test_what_is_no_signature_is_refused(wrong: object) -> None:
    with pytest.raises(MessageRefusedError):
        verify(message(), [KEY], wrong)


def test_what_no_worker_could_run_is_not_signed_and_what_is_too_deep_is_refused() -> None:
    assert sign(message(()), KEY, FAR) is None
    assert sign(message(("work.add", {"a": object()})), KEY, FAR) is None
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(MessageRefusedError):
        verify(message(("work.add", {"a": deep})), [KEY], header(message()))
