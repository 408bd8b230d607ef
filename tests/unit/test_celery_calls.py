"""The checks of a call, and what is shown of it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attune_tasks._celery.bounding import bounded
from attune_tasks._celery.calls import Call, clip, read_call, shown_of
from attune_tasks.errors import InvalidParametersError, UnknownActionError
from attune_tasks.result import ExecutionResult
from attune_tasks.settings.model import ResultSettings

ANY: Any = "hunter2-secret"


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (Call("a.b", {"when": datetime(2026, 1, 1, tzinfo=UTC)}), "parameters.when: datetime"),
        (Call("a.b", {"list": [1, {"deep": {ANY}}]}), r"parameters.list\[1\].deep: set"),
        (Call("a.b", {"x": math.nan}), "parameters.x: JSON has no nan"),
        (Call("a.b", {"x": b"hunter2-secret"}), "parameters.x: bytes"),
        (Call("a.b", {"x": {3: ANY}}), "parameters.x: a name is int"),
        (Call("a.b", [ANY]), "parameters: expected a mapping, not list"),  # type: ignore[arg-type]
        (Call("a.b", env=ANY), "env: expected a mapping, not str"),
        (Call("a.b", timeout=0), "timeout: expected a number"),
        (Call("a.b", timeout=True), "timeout: expected a number"),
        (Call("a.b", timeout=math.inf), "timeout: expected a number"),
        (Call("a.b", timeout=ANY), "timeout: expected a number"),
    ],
)
def test_what_json_can_not_hold_is_refused_by_its_place_and_type_only(call: Call, place: str) -> None:
    with pytest.raises(InvalidParametersError, match=place) as raised:
        call.check()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("ref", ["", "x" * 201, None, 7])
def test_what_can_be_no_ref_is_refused(ref: Any) -> None:
    with pytest.raises(UnknownActionError):
        Call(ref).check()


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=5,
        ),
        max_size=3,
    )
)
def test_every_json_value_passes(parameters: dict[str, Any]) -> None:
    Call("a.b", parameters, {"A": "b"}, 1.5).check()
    json.dumps(parameters)


def test_names_are_shown_and_values_are_not() -> None:
    shown = Call("a.b", {"user": "hunter2", "x": 1}, {"TZ": "hunter2"}).shown()
    assert shown == {"argsrepr": "'a.b'", "kwargsrepr": "{parameters: user=***, x=***; env: TZ=***}"}


def test_what_is_shown_of_any_message_holds_no_value() -> None:
    assert shown_of(["a.b", {"user": "hunter2"}], {}) == ("'a.b'", "{parameters: user=***}")
    assert shown_of(["a.b", "hunter2"], {}) == ("'a.b'", "{}")
    assert shown_of(["a.b"], {"env": "hunter2", "parameters": ["hunter2"]}) == ("'a.b'", "{}")
    assert shown_of(["a.b", {}, "hunter2"], {}) == ("(unreadable)", "(unreadable)")
    assert shown_of(5, None) == ("(unreadable)", "(unreadable)")


def test_arguments_that_do_not_fit_raise_type_errors_in_the_tasks_name() -> None:
    assert read_call(["a.b"], {"timeout": 3}) == Call("a.b", timeout=3)
    with pytest.raises(TypeError, match=r"run_action\(\) got an unexpected keyword argument 'tmeout'"):
        read_call(["a.b"], {"tmeout": 3})
    with pytest.raises(TypeError, match="ref"):
        read_call(None, None)


@given(st.text(), st.integers(3, 60))
def test_clipped_text_fits_as_json(text: str, size: int) -> None:
    cut = clip(text, size)
    assert len(json.dumps(cut)) - 2 <= size
    assert cut == text or (cut.endswith("...") and text.startswith(cut[:-3]))


def result(**fields: Any) -> dict[str, Any]:
    return ExecutionResult(1, "a.b", "failed", **fields).to_dict()


@given(st.text(), st.integers(0, 20))
def test_of_each_stream_the_end_is_kept_and_whole_characters_of_it(text: str, size: int) -> None:
    kept = bounded(result(stdout=text), ResultSettings(stream_bytes=size))
    assert len(kept["stdout"].encode(errors="replace")) <= size
    assert text.endswith(kept["stdout"])
    assert kept["stdout_truncated"] == (kept["stdout"] != text)


def test_streams_that_were_cut_before_stay_marked() -> None:
    assert bounded(result(stderr="x", stderr_truncated=True), ResultSettings())["stderr_truncated"]


def test_a_large_result_is_left_out_and_marked() -> None:
    limits = ResultSettings(value_bytes=10)
    assert bounded(result(result="12345678"), limits)["result"] == "12345678"
    assert bounded(result(result="123456789"), limits)["result"] == {"_truncated": True, "bytes": 11}
    assert bounded(result(result="éééé"), limits)["result"] == "éééé"
    assert bounded(result(result=None), ResultSettings(value_bytes=0))["result"] is None


def test_a_long_error_message_keeps_its_beginning() -> None:
    kept = bounded(result(error={"type": "t", "message": "m" * 100_000}), ResultSettings())
    assert kept["error"] == {"type": "t", "message": "m" * 4096 + "..."}
