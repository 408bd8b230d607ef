"""What an action can do to others on its machine, measured; docs/security.md has the tables, which are written here.

`make tables` writes them anew.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.ordinary import OrdinaryUser
from tests.security.attacks import ATTEMPTS, VICTIMS

DOCS: Final = Path(__file__).parents[2] / "docs" / "security.md"
WRITE: Final = "ATTUNE_TASKS_WRITE_TABLES"
_COLUMNS: Final = {
    "main": "the worker",
    "launcher": "a launcher",
    "fork": "a forked action",
    "dumpable": "one with `dumpable: true`",
    "exec": "one with `isolation: exec`",
    "shell": "a shell action, a program",
}
FILES: Final = ("token", "secret id", "broker's password", "secrets")


def in_docs(name: str, measured: str) -> str:
    """Give what the page says between the markers of `name`; write `measured` there first where that is asked for."""
    text = DOCS.read_text()
    pattern = re.compile(rf"(<!-- measured: {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    found = pattern.search(text)
    assert found, f"docs/security.md has no place for {name}"
    if os.environ.get(WRITE):
        DOCS.write_text(pattern.sub(lambda match: match[1] + measured + match[3], text))
        return measured
    return found[2]


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder that every user may enter and write to."""
    folder = Path(tempfile.mkdtemp(prefix="attacks-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def measured(
    user: OrdinaryUser, place: Path, attacker: str = "python", run_as: str | None = None, *, root: bool = False
) -> dict[str, Any]:
    """Measure in a worker of an ordinary user, or of root."""
    files = {}
    for name in FILES:
        path = place / name.replace(" ", "-")
        path.write_text("planted\n")
        path.chmod(0o600)
        if not root and os.geteuid() == 0:
            os.chown(path, user.uid, user.uid)
        files[name] = str(path)
    code = (
        f"from tests.security.attacks import as_worker; as_worker({str(place)!r}, {files!r}, {attacker!r}, {run_as!r})"
    )
    more: dict[str, Any] = {"umask": 0o022}
    if root:
        more |= {"user": 0, "group": 0, "env": user.environment() | {"TMPDIR": tempfile.gettempdir()}}
    found: dict[str, Any] = json.loads(user.run(code, **more))
    assert found["uid"] == (pwd.getpwnam(run_as).pw_uid if run_as else user.uid)
    for name in (*VICTIMS, "main", "pool", "launcher"):
        assert set(found["pids"][name].values()) <= {"denied", "possible"}, found["pids"][name]
    return found


@pytest.fixture
def other_user() -> str:
    return "nobody"


def test_what_an_action_can_do_to_others_is_what_the_page_says(
    ordinary_user: OrdinaryUser, place: Path, other_user: str
) -> None:
    (place / "same").mkdir(mode=0o777)
    (place / "same").chmod(0o777)
    found = measured(ordinary_user, place / "same")
    pids = found["pids"]
    assert pids["main"] == pids["pool"]
    assert pids["shell"] == pids["executable"]
    columns = [[pids[name][attempt] for attempt in ATTEMPTS] for name in _COLUMNS]
    heads = list(_COLUMNS.values())
    (place / "other").mkdir()
    (place / "other").chmod(0o777)
    other = measured(ordinary_user, place / "other", run_as=other_user, root=True)
    every = {attempt: {other["pids"][name][attempt] for name in other["pids"]} for attempt in ATTEMPTS}
    assert all(len(outcomes) == 1 for outcomes in every.values()), "the kind of victim makes no difference"
    columns.append([every[attempt].pop() for attempt in ATTEMPTS])
    heads.append("any of these of another user, from an action with `run_as`")
    rows = [f"| an action tries to | {' | '.join(heads)} |", "|" + " --- |" * (len(heads) + 1)]
    for at, told in enumerate(ATTEMPTS.values()):
        rows.append(f"| {told} | {' | '.join(_cell(column[at]) for column in columns)} |")
    files = "the files of token, secret id, broker's password and secrets, mode 0600, the worker's own"
    of_worker, of_other = set(found["files"].values()), set(other["files"].values())
    assert (len(of_worker), len(of_other)) == (1, 1)
    mine, others = _cell(of_worker.pop()), _cell(of_other.pop())
    rows.append(f"| read {files} | {mine} |{' |' * (len(heads) - 2)} {others} |")
    table = "\n".join(rows) + "\n"
    assert in_docs("others", table) == table, "type make tables, and look at what has changed"


def _cell(outcome: str) -> str:
    return "**possible**" if outcome == "possible" else outcome


@pytest.mark.parametrize("attacker", ["python", "python-exec", "shell"])
def test_undumpable_processes_deny_everything_but_signals_and_the_look_sees_what_does_not(
    ordinary_user: OrdinaryUser, place: Path, attacker: str
) -> None:
    pids = measured(ordinary_user, place, attacker)["pids"]
    for name in ("main", "pool", "launcher", "fork"):
        assert {attempt: outcome for attempt, outcome in pids[name].items() if attempt != "end"} == dict.fromkeys(
            set(ATTEMPTS) - {"end"}, "denied"
        )
    for name in ("dumpable", "exec", "shell", "executable"):
        assert set(pids[name].values()) == {"possible"}, "planted: these are open to their user"
