"""Nothing that is said live leaves a secret in Redis, however an action writes it; and a planted leak is seen there."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from attune_tasks._celery.live_output import LiveOutput
from attune_tasks._celery.live_stream import LiveStream
from attune_tasks._celery.live_writer import live_writer
from attune_tasks._celery.shared_state import shared_state
from attune_tasks.ids import new_execution_id
from attune_tasks.masking import Masker
from attune_tasks.process import OutputFilter, Supervision
from attune_tasks.process.output import NoFilter
from attune_tasks.settings.model import LiveSettings
from tests.integration.surfaces import captured_commands, holds, read_redis
from tests.redis_server import RedisServer
from tests.runs import LAUNCHERS, run_script

KEY = f"sk-{secrets.token_hex(12)}"
PEM = f"-----BEGIN KEY-----\n{secrets.token_hex(20)}\n{secrets.token_hex(20)}\n-----END KEY-----\n"
SECRETS = {"key": KEY, "pem": PEM}
PARTS = (KEY, *PEM.splitlines()[1:3])

# Writes its secrets in pieces of a size, with pauses, on both streams at once, and in its progress.
_DRIP = """
import os, time
def run(params):
    text = f"key {get_secret('key')}, pem:\\n{get_secret('pem')}half of one: {get_secret('key')[:-1]}\\n".encode() * 3
    for at in range(0, len(text), params["size"]):
        for number in (1, 2):
            os.write(number, text[at : at + params["size"]])
        if at % 40 < params["size"]:
            set_progress(at, f"with {get_secret('key')}")
            time.sleep(params["pause"])
    if params["loud"]:
        for _ in range(400):
            os.write(1, text)
"""


@pytest.fixture
def app(redis_server: RedisServer) -> Iterator[Celery]:
    """Give an app on a database of its own."""
    url = redis_server.url(redis_server.new_database())
    made = Celery("canary", broker=url, backend=url, set_as_current=False)
    yield made
    made.close()


def said_live(  # noqa: PLR0913 - what the cases differ in
    app: Celery, server: RedisServer, folder: Path, output_filter: OutputFilter, size: int, *, pause: float, loud: bool
) -> bytes:
    """Run it, and give all that was said to Redis meanwhile, and all that stands there."""
    state = shared_state(app)
    assert state
    execution_id = new_execution_id()
    stream = LiveStream(app, state, execution_id, LiveSettings())
    with server.client() as client, captured_commands(client) as said:
        live = LiveOutput(execution_id, live_writer(app), stream, state.client, None)
        supervision = Supervision(launchers=LAUNCHERS, output_filter=output_filter, live=live)
        parameters = {"size": size, "pause": pause, "loud": loud}
        result = run_script("python", folder, _DRIP, SECRETS, supervision=supervision, parameters=parameters)
        assert result.succeeded, result
        live.close("succeeded")
        stands = read_redis(state.client)
    everything = b"\n".join([*said, stands])
    assert b"half of one" in everything
    assert b'"type":"progress"' in everything
    return everything


@pytest.mark.parametrize(("size", "pause"), [(1, 0.02), (1, 0.0), (3, 0.02), (7, 0.01), (29, 0.02), (4096, 0.0)])
@pytest.mark.parametrize("loud", [False, True])
def test_no_chunking_leaves_a_secret_in_redis(  # noqa: PLR0913 - fixtures and cases
    app: Celery, redis_server: RedisServer, tmp_path: Path, size: int, pause: float, *, loud: bool
) -> None:
    everything = said_live(app, redis_server, tmp_path, Masker(SECRETS), size, pause=pause, loud=loud)
    for part in PARTS:
        assert not holds(everything, part)
        # Nor most of one: what is cut off by a gap, or by the end of what is shown so far.
        assert part[8:].encode() not in everything


def test_a_planted_leak_is_seen_by_the_same_look(app: Celery, redis_server: RedisServer, tmp_path: Path) -> None:
    everything = said_live(app, redis_server, tmp_path, NoFilter(), 7, pause=0.0, loud=False)
    for part in PARTS:
        assert holds(everything, part)
    assert holds(base64.b64encode(KEY.encode()), KEY)
