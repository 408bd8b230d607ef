"""Launchers as /proc shows them, and what of a worker's answer is believed."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from attune_tasks._celery.asking_workers import ask_workers
from attune_tasks._celery.launchers_seen import SeenLauncher, launchers_below
from attune_tasks.process import Launchers, Supervision
from tests.runs import run_script
from tests.waiting import wait_until


@pytest.mark.parametrize("runtime", ["python", "shell"])
def test_a_launcher_is_seen_idle_then_busy_and_a_forked_action_is_not_taken_for_one(
    runtime: str, tmp_path: Path
) -> None:
    launchers = Launchers()
    before = {seen.pid for seen in launchers_below(os.getpid())}

    def mine() -> list[SeenLauncher]:
        return [seen for seen in launchers_below(os.getpid()) if seen.pid not in before]

    texts = {
        "python": f"import os\ndef run(params):\n    while not os.path.exists('{tmp_path}/go'): pass\n",
        "shell": f"until test -e {tmp_path}/go; do sleep 0.02; done\n",
    }
    thread = threading.Thread(
        target=run_script,
        args=(runtime, tmp_path, texts[runtime]),
        kwargs={"supervision": Supervision(launchers=launchers)},
    )
    thread.start()
    try:
        wait_until(lambda: [seen.busy for seen in mine()] == [True], "a busy launcher, and it alone")
        (busy,) = mine()
        assert (busy.pack, busy.age_seconds < 30) == ("tests", True)
        assert 1_000 < busy.memory_kib < 30_000
        assert SeenLauncher.from_dict(busy.to_dict()) == busy
    finally:
        (tmp_path / "go").touch()
        thread.join()
    assert [(seen.pid, seen.busy) for seen in mine()] == [(busy.pid, False)]
    launchers.close()
    assert mine() == []


@pytest.mark.parametrize(
    "wrong", [None, 3, {}, {"pid": "1", "pack": "a", "busy": 1, "age_seconds": 1, "memory_kib": 1}]
)
def test_another_form_is_not_taken_for_a_launcher(wrong: Any) -> None:
    assert SeenLauncher.from_dict(wrong) is None


class FakeControl:
    """Calls back with what workers would say."""

    def __init__(self, said: list[Any]) -> None:
        """Say these, one after the other."""
        self.said = said
        self.taken = 0

    def broadcast(self, _: str, callback: Any, **__: Any) -> None:
        """Say all at once."""
        for each in self.said:
            self.taken += 1
            callback(each)


class FakeApp:
    """An app whose workers say what they are given."""

    def __init__(self, *said: Any) -> None:
        """Take what they say."""
        self.control = FakeControl(list(said))


def test_asking_ends_with_the_answer_that_is_enough_and_leaves_errors_out() -> None:
    app: Any = FakeApp({"a": {"error": "no"}}, ["junk"], {"b": {"ok": 1}}, {"c": {"ok": 2}}, {"d": {"ok": 3}})
    assert ask_workers(app, "x", is_enough=lambda answer: answer == 2) == {"b": 1, "c": 2}
    assert app.control.taken == 4


def test_asking_ends_with_its_time_though_answers_go_on() -> None:
    app: Any = FakeApp(*({f"w{number}": {"ok": number}} for number in range(9)))
    assert ask_workers(app, "x", timeout=-1) == {"w0": 0}
