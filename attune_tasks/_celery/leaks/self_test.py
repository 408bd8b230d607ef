"""The self-test: each surface must catch what leaks there on purpose."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from attune_tasks._celery.leaks.client import RemoteCheck
from attune_tasks._celery.leaks.controls import CONTROLS, Control
from attune_tasks.errors import ResultTimeoutError
from attune_tasks.known_packs import CONTROL_PACK
from attune_tasks.leaks import Row, Verdict
from attune_tasks.result import ExecutionResult

__all__ = ["VAULT_LOG", "Caught", "run_controls", "to_be_tried_again"]

VAULT_LOG: Final = "vault-audit.log"
"""In the folder of the controls: the file that stands for Vault's audit log."""

_SECONDS: Final = 60.0
_LONGER: Final = 20
"""Seconds for which a control stays that was missed at first."""
_LONGEST: Final = 60
"""Seconds for which a control of memory stays at most: it ends when all of the memory was looked at."""
_LEAVE_A_FILE: Final = frozenset({f"{CONTROL_PACK}.changed_file", f"{CONTROL_PACK}.vault_audit_log"})
_IN_MEMORY: Final = {
    f"{CONTROL_PACK}.launcher_memory": "launcher memory",
    f"{CONTROL_PACK}.main_memory": "main process memory",
}
"""Actions that leak into memory, which is gone through in pieces, and the surfaces that do."""
_FAILS: Final = frozenset(control.action for control in CONTROLS if control.fails)
"""Actions that fail on purpose, with what leaks in their error's text: it is not to be shown."""
_TOO_SHORT: Final = "it ended too soon"
"""What the surfaces of processes and files say where none was seen of an execution."""
_COULD_NOT: Final = "could_not_leak"
"""The key in a control's result by which it says why it can't leak here: then there is nothing to be caught."""


class _Said(NamedTuple):
    """What a control said of itself."""

    fault: str = ""
    could_not: str = ""


@dataclass(frozen=True, slots=True)
class Caught:
    """What a surface made of a leak."""

    surface: str
    control: str
    verdict: Verdict
    """``LEAK``, as it should be; ``clean``: it was missed."""
    where: str
    """The first place where it was found; else why it was not, as far as that is known."""


def to_be_tried_again(caught: Sequence[Caught]) -> list[Caught]:
    """Give those that were missed, and those for which there was no time to look, as on a busy machine."""
    return [
        each
        for each in caught
        if each.verdict == "clean" or (each.verdict == "not looked at" and _TOO_SHORT in each.where)
    ]


def run_controls(
    check: RemoteCheck, say: Callable[[str], None], folder: Path, again: Sequence[Caught] = ()
) -> list[Caught]:
    """Run all controls of the worker, and give what each surface found of those that are made for it.

    `folder`, on the worker's host, takes what must still be there at the end. With `again`, only those are run that
    were missed, and each for longer: on a busy machine there are few looks. Raises AttuneTasksError.
    """
    if again:
        return _run_again(check, say, folder, again)
    expected = [(surface, ref) for ref, surfaces in check.controls for surface in surfaces]
    said: dict[str, _Said] = {}
    for ref, _ in check.controls:
        say(ref)
        said[ref] = _run_action(check, ref, folder)
    for number, control in enumerate(CONTROLS):
        label = _label(control)
        if label not in said:
            say(label)
            said[label] = (
                _run_action(check, label, folder)
                if control.how == "secret"
                else _Said(check.send_control(number, label, _SECONDS))
            )
        if (control.surface, label) not in expected:
            expected.append((control.surface, label))
    rows = check.end().rows
    return [_caught(surface, label, rows, *said[label]) for surface, label in expected]


def _run_again(check: RemoteCheck, say: Callable[[str], None], folder: Path, again: Sequence[Caught]) -> list[Caught]:
    sent = {_label(control): number for number, control in enumerate(CONTROLS) if control.how != "secret"}
    said: dict[str, _Said] = {}
    for label in dict.fromkeys(each.control for each in again):
        say(f"{label}, once more and for longer")
        if label in sent:
            said[label] = _Said(check.send_control(sent[label], label, _SECONDS + _LONGER, _LONGER))
        else:
            said[label] = _run_action(check, label, folder, {"seconds": _LONGER})
    rows = check.end().rows
    return [_caught(each.surface, each.control, rows, *said[each.control]) for each in again]


def _label(control: Control) -> str:
    return control.action if control.how == "secret" else f"{control.action} ({control.how})"


def _run_action(check: RemoteCheck, ref: str, folder: Path, parameters: Mapping[str, Any] | None = None) -> _Said:
    """Run an action, each as it has to be; give what it said of itself."""
    if ref in _IN_MEMORY:
        stay = _Stay(Path(tempfile.mkdtemp(dir=folder)), _IN_MEMORY[ref])
        given = {"seconds": _LONGEST, "folder": str(stay.folder)}
        return _run(check, ref, given, _SECONDS + _LONGEST, stay.end_when_seen)
    more = {"folder": str(folder)} if ref in _LEAVE_A_FILE else {}
    return _run(check, ref, {**(parameters or {}), **more}, _SECONDS)


class _Stay:
    """Ends an action that leaks into memory, as soon as all of that was looked at since it leaked.

    How long that takes is a matter of the machine's load: a fixed time would be too short on one, too long on another.
    """

    def __init__(self, folder: Path, surface: str) -> None:
        self.folder = folder
        self._surface = surface

    def end_when_seen(self, gone_through: Mapping[str, float]) -> None:
        """Take what :meth:`RemoteCheck.run` tells meanwhile."""
        try:
            since = float((self.folder / "leaks").read_text(encoding="ascii"))
        except FileNotFoundError:
            return  # it does not leak yet
        if gone_through.get(self._surface, 0.0) >= since:
            (self.folder / "seen").touch()


def _run(
    check: RemoteCheck,
    ref: str,
    parameters: Mapping[str, Any],
    timeout: float,
    meanwhile: Callable[[Mapping[str, float]], None] | None = None,
) -> _Said:
    """Run an action; give what it said of itself."""
    try:
        result = check.run(ref, parameters, timeout=timeout, meanwhile=meanwhile)
    except ResultTimeoutError as error:
        return _Said(str(error))  # what it leaked has been there all the same
    value = result.result
    could_not = str(value.get(_COULD_NOT, "")) if isinstance(value, Mapping) else ""
    return _Said(_fault_of(ref, result), could_not)


def _fault_of(ref: str, result: ExecutionResult) -> str:
    if result.error is None or (ref in _FAILS and result.status == "failed"):
        return ""
    return f"{result.status}: {result.error['message']}"


def _caught(surface: str, label: str, rows: Sequence[Row], fault: str, could_not: str = "") -> Caught:
    for row in rows:
        if (row.surface, row.runtime) == (surface, label):
            if could_not and row.verdict == "clean":
                return Caught(surface, label, "not looked at", could_not)
            why_not = "; ".join(filter(None, (row.why, fault)))
            return Caught(surface, label, row.verdict, row.hits[0].where if row.hits else why_not)
    return Caught(surface, label, "clean", f"this surface gave no row; {fault}")
