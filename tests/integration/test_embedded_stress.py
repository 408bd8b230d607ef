"""The embedded broker under load: nothing is lost, nothing is run twice, the worker lives."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.integration.workers import ROOT, make_place, worker
from tests.waiting import wait_until

MINE = """\
import os, sys
from pathlib import Path
from celery import Celery
from attune_tasks._celery.embedded import embedded_config

app = Celery("stress", set_as_current=True)
app.conf.update(embedded_config(Path("state/attune-tasks/embedded")), worker_prefetch_multiplier=1)

@app.task(name="stress.note", ignore_result=False)
def note(text):
    with open("done.txt", "a") as file:
        file.write(text + "\\n")
    return text
"""
CLIENT = """\
import sys
from stress import note
sent = [note.delay(f"{sys.argv[1]}-{number}") for number in range(150)]
assert [each.get(timeout=60, interval=0.02) for each in sent] == [f"{sys.argv[1]}-{number}" for number in range(150)]
"""


def test_three_hundred_tasks_of_two_clients_are_all_done_once(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    (tmp_path / "stress.py").write_text(MINE, encoding="utf-8")
    environ = place.environ() | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with worker(place, "-P", "prefork", "-c", "2", app="stress", environ=environ) as running:
        clients = [
            subprocess.Popen([sys.executable, "-c", CLIENT, name], cwd=tmp_path, env=environ) for name in ("one", "two")
        ]
        assert [client.wait(90) for client in clients] == [0, 0]
        wait_until(lambda: "Traceback" not in running.log() and running.process.poll() is None, "a healthy worker")
        done = Counter((tmp_path / "done.txt").read_text(encoding="utf-8").split())
    assert done == Counter({f"{name}-{number}": 1 for name in ("one", "two") for number in range(150)})
    broker = place.embedded / "broker"
    assert [path for path in broker.glob("queues/*/*") if not path.name.startswith(".")] == []
    assert list(broker.glob("unfinished/*")) == []
