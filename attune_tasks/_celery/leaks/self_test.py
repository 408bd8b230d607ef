"""The self-test: each surface must catch what leaks there on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from attune_tasks._celery.leaks.client import RemoteCheck
from attune_tasks._celery.leaks.controls import CONTROLS
from attune_tasks.errors import ResultTimeoutError
from attune_tasks.known_packs import CONTROL_PACK
from attune_tasks.leaks import Row, Verdict
from attune_tasks.result import ExecutionResult

__all__ = ["Caught", "run_controls"]

_SECONDS: Final = 60.0
_LONGER: Final = 20
"""Seconds for which a control stays that was missed at first."""
_LEAVES_A_FILE: Final = f"{CONTROL_PACK}.changed_file"
_FAILS: Final = frozenset(control.action for control in CONTROLS if control.fails)
"""Actions that fail on purpose, with what leaks in their error's text: it is not to be shown."""


@dataclass(frozen=True, slots=True)
class Caught:
    """What a surface made of a leak."""

    surface: str
    control: str
    verdict: Verdict
    """``LEAK``, as it should be; ``clean``: it was missed."""
    where: str
    """The first place where it was found; else why it was not, as far as that is known."""


def run_controls(
    check: RemoteCheck, say: Callable[[str], None], folder: Path, again: Sequence[Caught] = ()
) -> list[Caught]:
    """Run all controls of the worker, and give what each surface found of those that are made for it.

    `folder`, on the worker's host, takes what must still be there at the end. With `again`, only those actions are run
    that were missed, and each for longer: on a busy machine there are few looks. Raises AttuneTasksError.
    """
    if again:
        return _run_again(check, say, folder, again)
    expected = [(surface, ref) for ref, surfaces in check.controls for surface in surfaces]
    said: dict[str, str] = {}
    for ref, _ in check.controls:
        say(ref)
        said[ref] = _run(check, ref, _parameters(ref, folder))
    for number, control in enumerate(CONTROLS):
        label = control.action if control.how == "secret" else f"{control.action} ({control.how})"
        if label not in said:
            say(label)
            said[label] = (
                _run(check, label, {}) if control.how == "secret" else check.send_control(number, label, _SECONDS)
            )
        if (control.surface, label) not in expected:
            expected.append((control.surface, label))
    rows = check.end().rows
    return [_caught(surface, label, rows, said[label]) for surface, label in expected]


def _run_again(check: RemoteCheck, say: Callable[[str], None], folder: Path, again: Sequence[Caught]) -> list[Caught]:
    said: dict[str, str] = {}
    for ref in dict.fromkeys(each.control for each in again):
        say(f"{ref}, once more and for longer")
        said[ref] = _run(check, ref, {**_parameters(ref, folder), "seconds": _LONGER})
    rows = check.end().rows
    return [_caught(each.surface, each.control, rows, said[each.control]) for each in again]


def _parameters(ref: str, folder: Path) -> dict[str, Any]:
    return {"folder": str(folder)} if ref == _LEAVES_A_FILE else {}


def _run(check: RemoteCheck, ref: str, parameters: Mapping[str, Any]) -> str:
    """Run an action; give what went wrong with it, if anything."""
    try:
        return _fault_of(ref, check.run(ref, parameters, timeout=_SECONDS))
    except ResultTimeoutError as error:
        return str(error)  # what it leaked has been there all the same


def _fault_of(ref: str, result: ExecutionResult) -> str:
    if result.error is None or (ref in _FAILS and result.status == "failed"):
        return ""
    return f"{result.status}: {result.error['message']}"


def _caught(surface: str, label: str, rows: Sequence[Row], fault: str) -> Caught:
    for row in rows:
        if (row.surface, row.runtime) == (surface, label):
            why_not = "; ".join(filter(None, (row.why, fault)))
            return Caught(surface, label, row.verdict, row.hits[0].where if row.hits else why_not)
    return Caught(surface, label, "clean", f"this surface gave no row; {fault}")
