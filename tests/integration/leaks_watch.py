"""Executions that are watched by surfaces of leak-check, as its scanner does it; with canaries of the tests' own."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from celery import Celery

from attune_tasks import Handle, enqueue
from attune_tasks._celery.leaks.controls import Control, SentControl, send_control
from attune_tasks.ids import new_execution_id, task_id_of
from attune_tasks.leaks import Row, Surface, ValueSeeker, Watched
from attune_tasks.leaks.canaries import make_canary, make_short_canary
from tests.integration.workers import ROOT, Place

__all__ = ["HONEST", "Watch", "control_sent", "honest_sent", "only", "write_leak_packs"]

HONEST: Final = "honest.use"
_CONTROLS: Final = ROOT / "attune_tasks" / "_bundled" / "leak_packs" / "leak_controls"
_USE: Final = """\
import time
def run(params):
    canary, short = get_secret("canary"), get_secret("canary_short")
    print("used", canary, short, flush=True)
    set_progress(50, f"half of {short}")
    time.sleep(params["seconds"])
    if params["fail"]:
        raise RuntimeError(f"refused: {canary} {short}")
    return {"canary": canary, "short": [short]}
"""
_USE_METADATA: Final = """\
ref: honest.use
runner_type: python
entry_point: use.py
parameters:
  seconds: {type: number, default: 0.6}
  fail: {type: boolean, default: false}
secrets:
  canary: {ref: "leak/check#canary"}
  canary_short: {ref: "leak/check#canary_short"}
"""


def write_leak_packs(place: Place) -> None:
    """Put the controls and an honest pack beside the place's others; their secrets come from the place's file."""
    pack = place.packs / "honest"
    (pack / "actions").mkdir(parents=True)
    (pack / "pack.yaml").write_text("ref: honest\nlabel: Honest\nversion: 1.0.0\n", encoding="utf-8")
    (pack / "actions" / "use.yaml").write_text(_USE_METADATA, encoding="utf-8")
    (pack / "actions" / "use.py").write_text(_USE, encoding="utf-8")
    shutil.copytree(_CONTROLS, place.packs / "leak_controls")
    for metadata in (place.packs / "leak_controls" / "actions").glob("*.yaml"):
        text = metadata.read_text(encoding="utf-8").replace("canary://leak-check#", "leak/check#")
        metadata.write_text(text, encoding="utf-8")


def _write_canaries(place: Place) -> dict[str, str]:
    """Make canaries anew: the file is read for each execution."""
    made = {"canary": make_canary(), "canary_short": make_short_canary()}
    new = place.secrets.with_suffix(".new")
    new.touch(mode=0o600)
    lines = "".join(f"  {name}: {json.dumps(value)}\n" for name, value in made.items())
    new.write_text(f"leak/check:\n{lines}", encoding="utf-8")
    os.replace(new, place.secrets)  # noqa: PTH105 - whole, or not
    return made


def honest_sent(place: Place, app: Celery, seeker: ValueSeeker, **parameters: Any) -> SentControl:
    """Send an execution that uses its canaries, prints, returns and tells them; masked, as it should be."""
    execution_id = new_execution_id()
    seeker.add(execution_id, _write_canaries(place))
    handle = enqueue(HONEST, parameters, app=app, execution_id=execution_id)
    return SentControl(handle.task_id, execution_id, runs=True)


def control_sent(place: Place, app: Celery, seeker: ValueSeeker, control: Control, seconds: int = 1) -> SentControl:
    """Send a control."""
    secrets = _write_canaries(place)
    sent = send_control(app, control, make_short_canary(), seeker.add, seconds=seconds)
    if control.how == "secret":
        seeker.add(sent.execution_id, secrets)
    return sent


class Watch:
    """Surfaces that watch executions one after the other."""

    def __init__(self, app: Celery, make: Callable[[ValueSeeker], Sequence[Surface]], main_pid: int = 0) -> None:
        """Begin with the surfaces that `make` gives for a seeker."""
        self._app = app
        self._main_pid = main_pid
        self.seeker = ValueSeeker()
        self.surfaces = make(self.seeker)
        self.watched: list[Watched] = []
        for surface in self.surfaces:
            surface.begin()

    def run(self, send: Callable[[ValueSeeker], SentControl], runtime: str, seconds: float = 30.0) -> SentControl:
        """Send one, and look until it is over."""
        sent = send(self.seeker)
        watched = Watched(sent.execution_id, sent.task_id, runtime, self._main_pid)
        self.watched.append(watched)
        handle = Handle.from_task_id(sent.task_id, self._app)
        deadline = time.monotonic() + (seconds if sent.runs else 0.5)
        while True:
            for surface in self.surfaces:
                surface.look([watched])
            if sent.runs and handle.status() not in {"pending", "running"}:
                break
            if time.monotonic() > deadline:
                assert not sent.runs, "it did not end in time"
                break
            time.sleep(0.05)
        watched.is_over = sent.runs
        return sent

    def end(self) -> dict[tuple[str, str], Row]:
        """Give the rows by surface and runtime. None of them holds a value, in whatever form."""
        rows = [row for surface in self.surfaces for row in surface.end(self.watched)]
        for row in rows:
            shown = repr(row.to_dict()).encode()
            assert self.seeker.find(shown) == [], row.surface
        return {(row.surface, row.runtime): row for row in rows}

    def end_of_nothing(self) -> dict[str, Row]:
        """Give the rows by surface for an execution that nobody has ever sent."""
        execution_id = new_execution_id()
        watched = Watched(execution_id, task_id_of(execution_id), "python")
        for surface in self.surfaces:
            surface.look([watched])
        return {row.surface: row for surface in self.surfaces for row in surface.end([watched])}


def only(surfaces: Iterable[Surface], *names: str) -> list[Surface]:
    """Give those of these names."""
    found = [surface for surface in surfaces if surface.name in names]
    assert {surface.name for surface in found} == set(names)
    return found
