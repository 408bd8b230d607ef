"""What a child says while it runs: batches, their bounds, progress, and that no secret shows in any of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attune_tasks.masking import Masker
from attune_tasks.process import Batch, Progress, Supervision
from attune_tasks.process.control import MAX_LINE_BYTES, MAX_PROGRESS_CHARACTERS, Control
from attune_tasks.process.live import Live
from attune_tasks.process.output import NoFilter, OutputFilter
from tests.runs import LAUNCHERS, RUNTIMES, run_script
from tests.vectors import VECTORS

CANARY = "Canary-3hT9-live-w"


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        """Give the seconds."""
        return self.now


class Sink:
    """Keeps what it is given."""

    def __init__(self, batch_bytes: int = 1 << 15, interval: float = 0.1) -> None:
        """Be ready."""
        self.interval = interval
        self.batch_bytes = batch_bytes
        self.is_ready = True
        self.batches: list[Batch] = []
        self.times: list[float] = []
        self.last: Batch | None = None
        self.on_send: Callable[[], None] = lambda: None

    def ready(self) -> bool:
        """Say so."""
        return self.is_ready

    def send(self, batch: Batch) -> None:
        """Keep a batch."""
        self.on_send()
        self.batches.append(batch)
        self.times.append(time.monotonic())

    def finish(self, batch: Batch) -> None:
        """Keep the last one."""
        assert self.last is None
        self.last = batch

    def pieces(self) -> list[tuple[str, str, int]]:
        """Give all pieces."""
        batches = [*self.batches, *([self.last] if self.last else [])]
        return [(piece.stream, piece.text, piece.dropped) for batch in batches for piece in batch.pieces]

    def text(self, stream: str = "stdout") -> str:
        """Give all of a stream."""
        return "".join(text for name, text, _ in self.pieces() if name == stream)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_batch_waits_an_interval_and_the_next_ones_too(clock: Clock) -> None:
    sink = Sink(interval=0.5)
    live = Live(sink, NoFilter(), clock)
    assert live.due is None
    live.output("stdout", b"one\n")
    live.output("stderr", b"two\n")
    assert live.due == 100.5
    live.send_if_due()
    assert not sink.batches
    clock.now = 100.5
    live.send_if_due()
    assert sink.pieces() == [("stdout", "one\n", 0), ("stderr", "two\n", 0)]
    assert live.due is None
    clock.now = 100.6
    live.output("stdout", b"three\n")
    assert live.due == 101.1
    live.finish()
    assert sink.last == Batch(sink.last.pieces if sink.last else ())
    assert sink.text() == "one\nthree\n"
    assert live.due is None


def test_a_child_that_says_nothing_sends_nothing_and_ends_empty(clock: Clock) -> None:
    sink = Sink()
    live = Live(sink, NoFilter(), clock)
    clock.now = 200.0
    live.send_if_due()
    live.finish()
    assert (sink.batches, sink.last) == ([], Batch())


def test_there_are_never_more_batches_than_intervals(clock: Clock) -> None:
    sink = Sink(interval=0.125)
    live = Live(sink, NoFilter(), clock)
    for _ in range(10_000):
        live.output("stdout", b"x")
        clock.now += 0.0003
        live.send_if_due()
    assert 20 <= len(sink.batches) <= 3.0 / 0.125
    live.finish()
    assert len(sink.text()) == 10_000


def test_a_sink_that_is_not_ready_is_asked_again_and_keeps_nothing_waiting(clock: Clock) -> None:
    sink = Sink(batch_bytes=100)
    sink.is_ready = False
    live = Live(sink, NoFilter(), clock)
    for number in range(1000):
        live.output("stdout", b"%03d\n" % number)
        clock.now += 0.1
        live.send_if_due()
    assert not sink.batches
    sink.is_ready = True
    clock.now += 1
    live.send_if_due()
    first, second = sink.pieces()
    assert first == ("stdout", "".join(f"{number:03}\n" for number in range(12)) + "01", 0)
    assert second == ("stdout", "7\n" + "".join(f"{number}\n" for number in range(988, 1000)), 4000 - 100)


def test_what_is_held_back_is_no_batch_and_comes_at_the_end(clock: Clock) -> None:
    sink = Sink()
    live = Live(sink, Masker({"canary": CANARY}), clock)
    live.output("stdout", CANARY[:8].encode())
    clock.now += 10
    live.send_if_due()
    assert (sink.batches, live.due) == ([], None)
    live.finish()
    assert sink.text() == CANARY[:8]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 30), st.integers(2, 200), st.integers(0, 5))
def test_no_secret_shows_in_any_chunking_nor_a_part_of_one_at_a_gap(
    words: list[int], size: int, batch_bytes: int, every: int
) -> None:
    data = "".join([CANARY, "Canary-", "word ", "\n"][word] for word in words).encode()
    clock, sink = Clock(), Sink(batch_bytes)
    live = Live(sink, Masker({"canary": CANARY, "short": "T9-l"}), clock)
    for number, at in enumerate(range(0, len(data), size)):
        live.output("stdout", data[at : at + size])
        if every and number % every == 0:
            clock.now += 1
            live.send_if_due()
    live.finish()
    shown = sink.text()
    assert "T9" not in shown
    assert "-live" not in shown
    for _, text, dropped in sink.pieces():
        assert not dropped or not text.startswith(tuple(CANARY[at:] for at in range(7, len(CANARY) - 3)))
    if not any(dropped for *_, dropped in sink.pieces()):
        assert shown == Masker({"canary": CANARY, "short": "T9-l"}).mask_text(data.decode())


def test_a_secret_that_a_gap_cuts_in_two_shows_neither_half(clock: Clock) -> None:
    for before in range(40):
        sink = Sink(batch_bytes=40)
        live = Live(sink, Masker({"canary": CANARY}), clock)
        live.output("stdout", b"." * before + CANARY.encode() * 20)
        live.finish()
        assert set(sink.text()) <= set(".*"), before


def test_a_leak_planted_before_the_masker_is_seen_by_the_same_look(clock: Clock) -> None:
    sink = Sink()
    live = Live(sink, NoFilter(), clock)  # a sink that gets what no masker has seen
    for character in f"key {CANARY}\n":
        live.output("stdout", character.encode())
    live.finish()
    assert CANARY in sink.text()


def test_characters_of_several_bytes_are_never_cut(clock: Clock) -> None:
    sink = Sink(batch_bytes=20)
    live = Live(sink, NoFilter(), clock)
    for byte in "é€😀 ".encode():
        live.output("stdout", bytes([byte]))
        clock.now += 1
        live.send_if_due()
    assert sink.text() == "é€😀 "
    live.output("stdout", "é€😀".encode() * 20)
    live.output("stdout", b"\xff end")
    live.finish()
    assert sink.text().endswith("\N{REPLACEMENT CHARACTER} end")
    assert sink.text().count("\N{REPLACEMENT CHARACTER}") <= 2  # at the gap, the head may end in a broken one


@pytest.mark.parametrize("case", VECTORS["progress"], ids=lambda case: str(case["name"]))
def test_progress_is_taken_as_the_vectors_say(case: dict[str, Any]) -> None:
    control = Control()
    control.feed(case["line"].encode() + b"\n")
    progress = control.take_progress()
    assert (list(progress) if progress else None) == case["taken"]
    assert control.ignored == (0 if case["taken"] else 1)
    assert control.take_progress() is None


def test_progress_in_another_encoding_is_taken_and_too_long_a_line_harms_no_result() -> None:
    control = Control()
    control.feed(b'{"type":"progress","percent":5,"message":"caf\xe9"}\n')
    assert control.take_progress() == (5.0, "caf\N{REPLACEMENT CHARACTER}")
    control.feed(b'{"type":"result","value":1}\n')
    control.feed(b'{"type":"progress","percent":5,"message":"' + b"x" * MAX_LINE_BYTES + b'"}\n')
    assert (control.take_progress(), control.result, control.result_fault, control.ignored) == (None, 1, None, 1)


def test_the_last_progress_of_a_batch_is_shown_masked_and_bounded(clock: Clock) -> None:
    sink = Sink()
    live = Live(sink, Masker({"canary": CANARY}), clock)
    live.progress(Progress(1.0, "first"))
    live.progress(Progress(2.0, f"key {CANARY}"))
    clock.now += 1
    live.send_if_due()
    assert sink.batches == [Batch((), Progress(2.0, "key ***"))]
    cut = ("x" * MAX_PROGRESS_CHARACTERS + CANARY)[7 : 7 + MAX_PROGRESS_CHARACTERS]  # in the midst of the secret
    live.progress(Progress(3.0, cut))
    live.finish()
    assert sink.last
    assert sink.last.progress == Progress(3.0, "x" * (MAX_PROGRESS_CHARACTERS - 7))


_SAYS = {
    "python": """
import os, sys, time
set_progress(25, "half of " + get_secret("canary"))
os.write(1, b"out " + get_secret("canary").encode() + b"\\n")
os.write(2, b"err\\n")
open("told", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
set_progress(250)
""",
    "shell": """
set_progress 25 "half of $(get_secret canary)"
echo "out $(get_secret canary)"
echo err >&2
while [[ ! -e go ]]; do sleep 0.01; done
set_progress 250
""",
    "executable": """#!/usr/bin/env python3
import json, os, sys, time
canary = json.loads(sys.stdin.readline())["canary"]
os.write(3, json.dumps({"type": "progress", "percent": 25, "message": "half of " + canary}).encode() + b"\\n")
os.write(1, b"out " + canary.encode() + b"\\n")
os.write(2, b"err\\n")
while not os.path.exists("go"):
    time.sleep(0.01)
os.write(3, b'{"type":"progress","percent":250}\\n')
""",
}


def said(runtime: str, folder: Path, output_filter: OutputFilter) -> Sink:
    """Run an action which goes on only when what it has said was seen."""
    sink = Sink(interval=0.05)
    sink.on_send = (folder / "go").touch
    text = _SAYS[runtime.partition("-")[0]]
    supervision = Supervision(launchers=LAUNCHERS, output_filter=output_filter, live=sink)
    result = run_script(runtime, folder, text, {"canary": CANARY}, supervision=supervision, working_dir=folder)
    assert result.succeeded, result
    return sink


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_runtime_is_heard_while_it_runs(runtime: str, tmp_path: Path) -> None:
    sink = said(runtime, tmp_path, Masker({"canary": CANARY}))
    assert sink.batches
    assert (sink.text("stdout"), sink.text("stderr")) == ("out ***\n", "err\n")
    assert Progress(25.0, "half of ***") in [batch.progress for batch in sink.batches]
    assert sink.last
    assert sink.last.progress == Progress(100.0, "")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_without_a_masker_the_same_run_leaks(runtime: str, tmp_path: Path) -> None:
    sink = said(runtime, tmp_path, NoFilter())
    assert CANARY in sink.text("stdout")
    assert any(batch.progress and CANARY in batch.progress.message for batch in sink.batches)


def test_a_loud_action_sends_a_batch_per_interval_and_its_result_is_whole(tmp_path: Path) -> None:
    sink = Sink(interval=0.05)
    text = "import sys\nfor _ in range(200):\n    sys.stdout.write('x' * 99_999 + '\\n')\n"
    supervision = Supervision(launchers=LAUNCHERS, output_filter=Masker({"canary": CANARY}), live=sink)
    result = run_script("python", tmp_path, text, supervision=supervision)
    assert result.succeeded
    assert result.stdout_truncated
    assert len(result.stdout) == 1 << 20
    dropped = sum(dropped for *_, dropped in sink.pieces())
    assert len(sink.text()) + dropped == 200 * 100_000
    assert all(len(text) <= 1 << 15 for _, text, _ in sink.pieces())
    assert len(sink.batches) <= result.duration_ms / 1000 / 0.05 + 1


def test_progress_with_no_number_is_the_authors_fault_and_any_other_is_clamped(tmp_path: Path) -> None:
    text = """
def run(params):
    for percent in (-5, 1e9, float("inf"), "12", True):
        set_progress(percent, message=["any", object])
    for percent in (float("nan"), "x", None):
        try:
            set_progress(percent)
        except (TypeError, ValueError):
            continue
        raise AssertionError(percent)
    return "done"
"""
    assert run_script("python", tmp_path, text).result == "done"


def test_a_script_that_closed_the_channel_goes_on_without(tmp_path: Path) -> None:
    text = "exec 200>&-\nset_progress 5 x\necho after\n"
    result = run_script("shell", tmp_path, text)
    assert (result.status, result.stdout, result.stderr) == ("succeeded", "after\n", "")
    closed = "import os\nos.closerange(3, 256)\n"
    result = run_script("python", tmp_path, f"{closed}set_progress(5)\nprint('after')\n")
    assert (result.status, result.stdout, result.stderr) == ("succeeded", "after\n", "")


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        ("0", (0.0, "")),
        ("007.5", (7.5, "")),
        ("5.", (5.0, "")),
        ("100 'a \"b\" \\ & \\& $(id) é'", (100.0, 'a "b" \\ & \\& $(id) é')),
        ("3 $'two\\nlines\\t'", (3.0, "two lines ")),
    ],
)
def test_any_text_of_a_shell_arrives(arguments: str, taken: tuple[float, str], tmp_path: Path) -> None:
    sink = Sink()
    run_script("shell", tmp_path, f"set_progress {arguments}\n", supervision=Supervision(live=sink))
    assert sink.last
    assert sink.last.progress == taken


@pytest.mark.parametrize("arguments", ["", "x", "-1", ".", "1.2.3", "1e3", "1 a b"])
def test_wrong_usage_in_a_shell_says_so(arguments: str, tmp_path: Path) -> None:
    result = run_script("shell", tmp_path, f"set_progress {arguments} || echo $?\n")
    assert result.stdout == "2\n"
    assert "set_progress: usage" in result.stderr


def test_threads_that_tell_of_progress_do_not_break_a_large_result(tmp_path: Path) -> None:
    text = """
import threading
def run(params):
    done = threading.Event()
    def tell():
        while not done.is_set():
            set_progress(50, "x" * 512)
    for _ in range(4):
        threading.Thread(target=tell, daemon=True).start()
    threading.Timer(0.5, done.set).start()
    return "r" * 1_000_000
"""
    result = run_script("python", tmp_path, text)
    assert (result.status, len(result.result or "")) == ("succeeded", 1_000_000)


def test_a_line_of_progress_is_written_in_one_piece(tmp_path: Path) -> None:
    text = """
import os
lines, write = [], os.write
os.write = lambda number, data: lines.append(len(data)) or write(number, data)
for character in ("x", "\\x00", "\\U0001f600", '"'):
    set_progress(50, character * 1000)
print(max(lines))
"""
    assert int(run_script("python", tmp_path, text).stdout) <= 4096
