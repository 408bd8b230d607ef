"""What an action names by ``mask``: masked from that moment on, however soon it is said."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from attune_tasks.masking import Masker
from attune_tasks.process import Supervision, supervisor
from attune_tasks.process.control import MAX_LINE_BYTES, MAX_MASK_CHARACTERS, Control
from attune_tasks.process.live import Live
from attune_tasks.process.output import TailBuffer
from tests.runs import LAUNCHERS, RUNTIMES, run_script
from tests.unit.test_process_live import Clock, Sink
from tests.vectors import VECTORS

TOKEN = 'tok "Zq7"\\ é'

# Each says the token right after it has named it, waits until something was shown, and says it again.
SAYS = {
    "python": """
import os, time
token = get_secret("seed")[::-1]
mask(token)
os.write(1, b"one " + token.encode() + b"\\n")
os.write(2, token.encode() + b" two\\n")
while not os.path.exists("go"):
    time.sleep(0.01)
print(token)
""",
    "shell": """
get_secret -v seed seed
token=
for ((at = ${#seed} - 1; at >= 0; at--)); do token+=${seed:at:1}; done
mask "$token"
echo "one $token"
echo "$token two" >&2
until [[ -e go ]]; do sleep 0.01; done
echo "$token"
""",
    "executable": """#!/usr/bin/env python3
import json, os, sys, time
token = json.loads(sys.stdin.readline())["seed"][::-1]
os.write(3, json.dumps({"type": "mask", "value": token}, separators=(",", ":")).encode() + b"\\n")
os.write(1, b"one " + token.encode() + b"\\n")
os.write(2, token.encode() + b" two\\n")
while not os.path.exists("go"):
    time.sleep(0.01)
print(token)
""",
}
WITHOUT = {
    "python": ("mask(token)\n", "pass\n"),
    "shell": ('mask "$token"\n', ":\n"),
    "executable": ('"type": "mask"', '"type": "other"'),
}


def said(runtime: str, folder: Path, text: str) -> tuple[Sink, Masker, str]:
    sink = Sink(interval=0.01)
    sink.on_send = (folder / "go").touch
    masker = Masker({})
    supervision = Supervision(launchers=LAUNCHERS, output_filter=masker, live=sink)
    env = {"LC_ALL": "C.UTF-8"}
    seed = {"seed": TOKEN[::-1]}
    result = run_script(runtime, folder, text, seed, supervision=supervision, working_dir=folder, env=env)
    assert result.succeeded, result
    return sink, masker, result.stdout + result.stderr


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_said_after_mask_is_masked_live_and_in_the_end(runtime: str, tmp_path: Path) -> None:
    sink, masker, kept = said(runtime, tmp_path, SAYS[runtime.partition("-")[0]])
    assert kept == "one ***\n***\n*** two\n"
    assert sink.text() == "one ***\n***\n"
    assert sink.text("stderr") == "*** two\n"
    assert masker.counts == {"(mask)": {"stdout": 2, "stderr": 1}}
    assert masker.not_masked == ()


@pytest.mark.parametrize("runtime", ["python", "shell", "executable"])
def test_without_mask_the_same_action_shows_it(runtime: str, tmp_path: Path) -> None:
    before, after = WITHOUT[runtime]
    sink, _, kept = said(runtime, tmp_path, SAYS[runtime].replace(before, after))
    assert TOKEN in kept
    assert TOKEN in sink.text()


@pytest.mark.parametrize("reads", [supervisor._CONTROL_READS, 0], ids=["as it is", "with the read taken out"])
def test_what_was_read_before_the_value_was_is_shown_after_it(
    reads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The channel has room for much, and is full of junk in front of the value: the output behind it is read first.
    monkeypatch.setattr(supervisor, "_CONTROL_READS", reads)
    text = """
import fcntl, os, time
token = "-".join(["tok", "Zq7", "x" * 20])
fcntl.fcntl(200, 1031, 1 << 20)  # F_SETPIPE_SZ
os.write(200, b"junk\\n" * 160_000)
mask(token)
os.write(1, token.encode() + b"\\n")
time.sleep(0.05)
"""
    shown = []
    for _ in range(5):
        sink = Sink(interval=0.0001)
        supervision = Supervision(launchers=LAUNCHERS, output_filter=Masker({}), live=sink)
        result = run_script("python", tmp_path, text, supervision=supervision)
        assert result.stdout == "***\n"
        shown.append(sink.text())
    leaked = [text for text in shown if "Zq7" in text]
    assert bool(leaked) == (reads == 0)


@pytest.mark.parametrize("case", VECTORS["mask"], ids=lambda case: case["name"])
def test_a_message_is_taken_as_the_vectors_say(case: dict[str, Any]) -> None:
    control = Control()
    control.feed(case["line"].encode() + b"\n")
    taken = [] if case["taken"] is None else [case["taken"]]
    assert (control.take_masks(), control.take_masks()) == (taken, [])
    assert control.ignored == (0 if taken else 1)


def test_bytes_that_are_no_text_are_masked_as_they_are() -> None:
    control, masker = Control(), Masker({})
    control.feed(b'{"type":"mask","value":"tok\xff\xfe-1"}\n')
    assert all(map(masker.add, control.take_masks()))
    assert masker.mask_bytes(b"<tok\xff\xfe-1>") == b"<***>"


def test_what_is_too_long_or_too_much_is_not_masked_and_told() -> None:
    control = Control()
    for size in (MAX_MASK_CHARACTERS, MAX_MASK_CHARACTERS + 1, MAX_LINE_BYTES):
        control.feed(json.dumps({"type": "mask", "value": "x" * size}, separators=(",", ":")).encode() + b"\n")
    assert [len(value) for value in control.take_masks()] == [MAX_MASK_CHARACTERS, 0, 0]
    assert control.result_fault is None
    masker = Masker({})
    assert [masker.add("yes"), masker.add(""), masker.not_masked] == [False, False, ("(mask)",)]
    many = Masker({})
    taken = [many.add(f"value {number:03}") for number in range(150)]
    assert (taken.count(True), many.not_masked) == (100, ("(mask)",))
    assert many.add("value 007")  # it is there already
    assert many.mask_text("value 099 value 100") == "*** value 100"
    large = Masker({})
    assert [large.add(character * (1 << 16)) for character in "abcde"] == [True, True, True, True, False]


def test_a_value_that_is_named_late_is_masked_in_what_is_kept_of_before() -> None:
    masker = Masker({"short": "abcd-efgh"})
    buffer = TailBuffer(40, masker)
    token = "t" * 30 + "-token"
    for _ in range(3000):
        buffer.append(f"<{token}>".encode())
    masker.add(token)
    text, truncated = buffer.finish()
    assert truncated
    assert "tttt" not in text
    assert set(text) <= {"<", ">", "*"}


def test_a_value_that_is_named_late_makes_no_gap_show_a_part_of_it() -> None:
    masker, sink, clock = Masker({}), Sink(batch_bytes=64), Clock()
    live = Live(sink, masker, clock)
    token = "T" * 20 + "-token-of-some-length"
    live.output("stdout", token.encode() * 50)
    masker.add(token)
    live.finish()
    assert "-tok" not in sink.text()
    assert "TTTT" not in sink.text()
    shown = sum(len(text) for _, text, _ in sink.pieces())
    assert shown < 64
    assert sum(dropped for *_, dropped in sink.pieces())


HOSTILE = ["$(id) `x` & \\& \\", 'it\'s "q"', "two\nlines\tand\x01more\x1f\x7f", "äöü €", "-v", "--help"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("by", ["value", "variable"])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_any_value_of_a_shell_is_masked_byte_for_byte(value: str, by: str, locale: str, tmp_path: Path) -> None:
    call = 'mask "$value"' if by == "value" and value != "-v" else "mask -v value"
    code = f'get_secret -v value value\n{call}\necho "<$value>"\n'
    masker = Masker({})
    supervision = Supervision(launchers=LAUNCHERS, output_filter=masker)
    result = run_script("shell", tmp_path, code, {"value": value}, supervision=supervision, env={"LC_ALL": locale})
    assert (result.status, result.stderr) == ("succeeded", "")
    assert result.stdout == ("<-v>\n" if value == "-v" else "<***>\n")


def test_a_trace_of_a_shell_shows_no_value_where_a_variable_is_named(tmp_path: Path) -> None:
    code = 'get_secret -v value value\nset -x\nmask -v value\nset +x\n[[ $- == *e* ]] && echo "$LC_ALL"\n'
    result = run_script("shell", tmp_path, code, {"value": "tok-4711-x"}, env={"LC_ALL": "C.UTF-8"})
    assert "tok-4711" not in result.stderr
    assert "mask -v value" in result.stderr
    assert result.stdout == "C.UTF-8\n"


@pytest.mark.parametrize("arguments", ["", "a b", "-v", "-v 1x", "-v a b"])
def test_wrong_usage_in_a_shell_says_so(arguments: str, tmp_path: Path) -> None:
    result = run_script("shell", tmp_path, f"mask {arguments} || echo $?\n")
    assert result.stdout == "2\n"
    assert "mask: usage" in result.stderr


@pytest.mark.parametrize("runtime", ["python", "shell"])
def test_an_action_that_can_no_longer_say_it_is_told(runtime: str, tmp_path: Path) -> None:
    code = {
        "python": "import os\nos.closerange(3, 256)\nmask('tok-4711-x')\nprint('went on')\n",
        "shell": "exec 200>&-\nmask tok-4711-x\necho went on\n",
    }[runtime]
    result = run_script(runtime, tmp_path, code)
    assert (result.status, result.stdout) == ("failed", "")
    assert "mask: the action has closed" in result.stderr


def test_a_python_action_masks_text_and_bytes_and_nothing_else(tmp_path: Path) -> None:
    code = """
for value in (5, None, ["tok"], "x" * 65_537):
    try:
        mask(value)
    except (TypeError, ValueError) as error:
        assert "xxx" not in str(error)
        continue
    raise AssertionError(value)
mask(b"tok\\xff-4711")
mask(bytearray(b"tok-4712"))
import sys
sys.stdout.buffer.write(b"<tok\\xff-4711><tok-4712>")
"""
    masker = Masker({})
    result = run_script("python", tmp_path, code, supervision=Supervision(launchers=LAUNCHERS, output_filter=masker))
    assert (result.stdout, result.stderr) == ("<***><***>", "")


def test_its_variants_are_masked_too(tmp_path: Path) -> None:
    code = 'value="tok/4711?x=y z"\nmask "$value"\nprintf %s "$value" | base64\nset -x\n: "$value"\n'
    masker = Masker({})
    result = run_script("shell", tmp_path, code, supervision=Supervision(launchers=LAUNCHERS, output_filter=masker))
    assert base64.b64encode(b"tok/4711?x=y z").decode()[:12] not in result.stdout
    assert (result.stdout, result.stderr) == ("***\n", "+++ : '***'\n")
