"""What a surface found, as it is told: without values, and printable."""

from __future__ import annotations

import subprocess
import sys

import pytest

from attune_tasks.leaks import Findings, ValueSeeker, Watched
from attune_tasks.leaks.processes.programs import program_of
from tests.waiting import wait_until

VALUE = "one-\x1b]0;value\x07-of-some-length"
WILD = f"\x1b[2J\x9b31m\u202e\x7f {VALUE} \x08\nend"


@pytest.mark.parametrize("how", ["where", "program", "not looked at", "partly"])
def test_what_others_named_is_shown_masked_and_without_characters_that_act_on_a_terminal(how: str) -> None:
    seeker = ValueSeeker()
    seeker.add(7, {"token": VALUE})
    findings = Findings("files", seeker)
    if how in {"where", "program"}:
        findings.search(VALUE.encode(), **{"where": "here", how: WILD})
    else:
        (findings.not_looked_at if how == "not looked at" else findings.partly)(WILD)
    (row,) = findings.rows([Watched(7, "t", "shell")])
    texts = [row.why, *(text for hit in row.hits for text in (hit.where, hit.program))]
    assert "?[2J?31m?? *** ??end" in texts
    assert all(text.isprintable() for text in texts)


def test_a_command_line_of_a_real_process_is_shown_so() -> None:
    seeker = ValueSeeker()
    seeker.add(7, {"token": VALUE})
    findings = Findings("command lines", seeker)
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", WILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        # Popen returns at exec, a moment before the kernel shows the new command line.
        wait_until(lambda: program_of(process.pid, seeker), "the command line is there")
        findings.search(VALUE.encode(), "here", program_of(process.pid, seeker))
        process.communicate()
    (row,) = findings.rows([Watched(7, "t", "shell")])
    assert row.hits[0].program.startswith(sys.executable)
    assert row.hits[0].program.endswith("?[2J?31m?? *** ? end")
