"""What a scanner tells and gives, and to whom."""

from __future__ import annotations

from pathlib import Path

from attune_tasks._celery.leaks.check import Check
from attune_tasks.leaks import ValueSeeker
from attune_tasks.packs import PackRegistry
from tests.leak_runs import CONTROLS, write_action


def test_a_canary_action_alone_may_be_given_another_reference(tmp_path: Path) -> None:
    ref = write_action(tmp_path, "it", "get_secret canary\n")
    registry = PackRegistry.load([CONTROLS / "leak_check", tmp_path], runtimes=("python", "shell", "executable"))
    check = Check(registry, 1, ValueSeeker(), [])
    told = {}
    for number, (action, refs) in enumerate(
        [
            (ref, {}),
            (ref, {"canary": "vault://other/secret#f"}),
            ("leak_check.shell_shows", {"canary": "vault://a/b#c"}),
        ]
    ):
        ids = {"execution_id": str(number), "task_id": f"t{number}"}
        told[number] = check.answer({"op": "watch", "ref": action, "refs": refs, **ids}, 1)
    assert told[0] == {"runtime": "shell", "secrets": ["canary", "canary_short"]}
    assert "is no canary action" in told[1]["refused"]
    assert told[2]["runtime"] == "shell"
    asked = {"op": "secrets", "names": ["canary", "canary_short"]}
    assert "does not watch" in check.answer({**asked, "execution_id": "1"}, 1)["refused"]
    given = check.answer({**asked, "execution_id": "2"}, 1)
    assert given["refs"] == {"canary": "vault://a/b#c"}
    assert set(given["values"]) == {"canary_short"}
