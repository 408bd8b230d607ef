"""How live output stands in an entry of a stream, and how a follower takes it apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attune_tasks._celery.live_events import (
    AttemptEnd,
    EndEvent,
    OutputEvent,
    ProgressEvent,
    events_of_batch,
    lines_of,
    read_events,
    write_events,
)
from attune_tasks.process import Batch, Piece, Progress


def test_a_batch_comes_back_by_lines() -> None:
    batch = Batch((Piece("stdout", "one\ntw"), Piece("stderr", "e\n", 7)), Progress(5.0, "half"))
    assert list(read_events(write_events([*events_of_batch(batch), AttemptEnd("failed")]))) == [
        OutputEvent("stdout", "one\n"),
        OutputEvent("stdout", "tw"),
        OutputEvent("stderr", "e\n", 7),
        ProgressEvent(5.0, "half"),
        AttemptEnd("failed"),
    ]


@given(st.text("a\n\r\u2028é", max_size=30), st.integers(0, 5))
def test_lines_are_the_whole_text_and_end_at_newlines_alone(text: str, dropped: int) -> None:
    lines = list(lines_of(OutputEvent("stdout", text, dropped)))
    assert "".join(line.text for line in lines) == text
    assert all(line.text.endswith("\n") for line in lines[:-1])
    assert all(line.text.count("\n") <= 1 for line in lines)
    assert sum(line.dropped for line in lines) == dropped


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"null", b"{}", b"[null, 1, {}]", b'[{"type":"output","stream":"stdin","text":"x"}]',
     b'[{"type":"output","stream":"stdout","text":1}]', b'[{"type":"progress","percent":"1","message":""}]'],
)  # fmt: skip
def test_what_is_not_understood_is_left_out(data: bytes) -> None:
    assert list(read_events(data)) == []


def test_events_say_their_type_as_programs_read_it() -> None:
    assert OutputEvent("stderr", "x\n").to_dict() == {"type": "output", "stream": "stderr", "text": "x\n", "dropped": 0}
    assert ProgressEvent(1.5, "m").to_dict() == {"type": "progress", "percent": 1.5, "message": "m"}
    assert EndEvent("succeeded").to_dict() == {"type": "end", "status": "succeeded"}
