"""`leak-check REF --real` looks for secrets that work somewhere: nothing of one may stand in what it prints."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.workers import Place, make_place, worker

pytestmark = pytest.mark.timeout(300)

LONG: Final = base64.encodebytes(bytes(number * 7 % 251 for number in range(2400))).decode()
SHORT: Final = "Zq7x!"
WITHIN: Final = "Xw2-in-a-document-Vb9"
DOCUMENT: Final = json.dumps({"user": "somebody-of-ours", "password": WITHIN})
REF: Final = "careless.hands_on"
_ACTION: Final = """\
get_secret -v long long
get_secret -v short short
get_secret -v document document
inner=${document##*: \\"}
bash -c 'sleep "$1"; exit' it 2 "--token=$short" "--password=${inner%\\"*}" "$document" "$long"
"""
_METADATA: Final = f"""\
ref: {REF}
runner_type: shell
entry_point: hands_on.sh
secrets:
  long: {{ref: "real/long#value"}}
  short: {{ref: "real/short#value"}}
  document: {{ref: "real/document#value"}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Run a worker with an action that gives its secrets to a program as arguments."""
    made = make_place(tmp_path_factory.mktemp("real"))
    actions = made.packs / "careless" / "actions"
    actions.mkdir(parents=True)
    (actions.parent / "pack.yaml").write_text("ref: careless\n", encoding="utf-8")
    (actions / "hands_on.sh").write_text(_ACTION, encoding="utf-8")
    (actions / "hands_on.yaml").write_text(_METADATA, encoding="utf-8")
    with made.secrets.open("a", encoding="utf-8") as file:
        for name, value in (("long", LONG), ("short", SHORT), ("document", DOCUMENT)):
            file.write(f"real/{name}:\n  value: {json.dumps(value)}\n")
    with worker(made, "-c", "1", environ={"ATTUNE_TASKS_LEAK_CHECK__ENABLED": "true"}):
        yield made


def checked(place: Place, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "attune_tasks.cli", "leak-check", REF, "--real", "--yes", "--file-seconds", "1", *more],
        env=place.environ(),
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def shown(text: str) -> set[str]:
    """Give the names of the secrets of which something stands in a text: of the long one, twelve letters."""
    lines = LONG.splitlines()
    pieces = [line[at : at + 12] for line in lines for at in range(max(1, len(line) - 12))]
    found = {"long"} if any(piece in text for piece in pieces) else set()
    found |= {"short"} if SHORT in text else set()
    return found | ({"document"} if WITHIN in text or "somebody-of-ours" in text else set())


@pytest.mark.parametrize("form", ["table", "json"])
def test_no_real_value_stands_in_what_is_printed(place: Place, form: str, tmp_path: Path) -> None:
    done = checked(place, *(["--json"] if form == "json" else []))
    assert done.returncode == 1, done.stderr
    if form == "json":
        found = json.loads(done.stdout)
        (row,) = [each for each in found["rows"] if each["surface"] == "command lines"]
        programs, names = {hit["program"] for hit in row["hits"]}, {hit["secret"] for hit in row["hits"]}
        assert found["ignored"] == ["short"]
    else:
        lines = done.stdout.splitlines()
        programs = {line.partition("shown by: ")[2] for line in lines if "shown by: " in line}
        names = {line.partition(": ")[2].partition(": ")[2].split()[0] for line in lines if line.startswith("LEAK: ")}
        assert "too short to be told from chance: short" in done.stdout
    assert names == {"long", "document"}
    assert any("it 2 --token=*** --password=*** " in program for program in programs), programs
    assert shown(done.stdout + done.stderr) == set(), "a value was printed"  # and not by this test
    planted = tmp_path / "planted"
    for name, value in (("long", LONG[200:230]), ("short", SHORT), ("document", DOCUMENT)):
        planted.write_text(done.stdout.replace("***", value, 1), encoding="utf-8")
        assert shown(planted.read_text(encoding="utf-8")) == {name}
