"""One call of run_action: its arguments, checked, and what may be shown of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from attune_tasks.errors import InvalidParametersError, UnknownActionError

if TYPE_CHECKING:
    from attune_tasks.packs import PackRegistry
    from attune_tasks.settings import Settings

__all__ = ["MAXIMUM_REF", "Call", "clip", "read_call", "shown_of"]

MAXIMUM_REF: Final = 200
"""Characters; refs stand in events, in the log and in Flower."""
_SHOWN_BYTES: Final = 300
_MASK: Final = "***"
_MAX_DEPTH: Final = 64
"""As in the packs' own check of parameters."""


class Call(NamedTuple):
    """What a caller asks for."""

    ref: str
    parameters: Mapping[str, Any] | None = None
    env: Mapping[str, str] | None = None
    timeout: float | None = None

    def check(self) -> None:
        """Refuse what no action could take, wherever the packs are.

        Raises UnknownActionError and InvalidParametersError, which name the place and the type, never the value: it
        may be a secret that was given by mistake.
        """
        if not isinstance(self.ref, str) or not 0 < len(self.ref) <= MAXIMUM_REF:
            msg = f"an action's ref is text of the form pack.action, at most {MAXIMUM_REF} characters"
            raise UnknownActionError(msg)
        problems: list[str] = []
        for name, value in (("parameters", self.parameters), ("env", self.env)):
            if value is None or isinstance(value, dict):
                problems += _problems_of_json(value, name)
            else:
                problems.append(f"{name}: expected a mapping, not {type(value).__name__}")
        if not (self.timeout is None or _is_seconds(self.timeout)):
            problems.append("timeout: expected a number of seconds above 0")
        if problems:
            msg = f"{self.ref}: not callable with these arguments"
            raise InvalidParametersError(msg, problems=problems)

    def check_against(self, registry: PackRegistry, settings: Settings) -> None:
        """Refuse what the worker would, where packs are known here; the worker checks again.

        `settings` say where a secret is to be stored that was given in place of its reference.

        Raises UnknownActionError and InvalidParametersError.
        """
        if len(registry) and (self.ref in registry or not self._is_of_leak_check()):
            registry.get(self.ref).schema.validate(self.parameters or {}, partial(_how_to_store, settings))

    def _is_of_leak_check(self) -> bool:
        """Say whether it is an action that only workers know which take part in a check."""
        from attune_tasks.known_packs import LEAK_PACKS  # loaded by now, where there are packs

        return self.ref.partition(".")[0] in LEAK_PACKS

    def shown(self) -> dict[str, str]:
        """Give Celery's ``argsrepr`` and ``kwargsrepr``, for events and logs: names of parameters, no value."""
        given = {"parameters": self.parameters, "env": self.env}
        # What is no mapping is refused when it runs, and has no names that could be shown.
        names = {name: sorted(map(str, value)) for name, value in given.items() if value and isinstance(value, Mapping)}
        text = "; ".join(f"{name}: {', '.join(f'{each}={_MASK}' for each in found)}" for name, found in names.items())
        return {"argsrepr": clip(repr(self.ref), _SHOWN_BYTES), "kwargsrepr": clip(f"{{{text}}}", _SHOWN_BYTES)}


def _how_to_store(settings: Settings, reference: str) -> str:
    from attune_tasks.secrets.storing import how_to_store  # clients need it only for such an error

    return how_to_store(reference, settings.secrets)


def read_call(args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None) -> Call:
    """Read the arguments of a task message. Raises TypeError where they don't fit the task's signature."""

    def run_action(
        ref: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Call:
        return Call(ref, parameters, env, timeout)

    return run_action(*(args or ()), **(kwargs or {}))


def shown_of(args: Any, kwargs: Any) -> tuple[str, str]:
    """Give what events, logs and Flower show of the arguments of any message, whoever sent it: no value of them.

    All ways to send lead here: the task's own ``apply_async`` (``delay``, canvas, retries, beat), the signal before a
    message is published, and the worker that receives it.
    """
    try:
        shown = read_call(args, kwargs).shown()
    except Exception:  # noqa: BLE001 - a stranger's message; it is refused when it runs
        return "(unreadable)", "(unreadable)"
    return shown["argsrepr"], shown["kwargsrepr"]


def clip(text: str, size: int) -> str:
    """Cut `text` to `size` bytes as JSON writes it, where one character takes up to twelve."""
    if len(text) * 12 <= size or len(json.dumps(text)) - 2 <= size:
        return text
    kept: list[str] = []
    left = size - len("...")
    for character in text[: size + 1]:
        left -= len(json.dumps(character)) - 2
        if left < 0:
            return "".join(kept) + "..."
        kept.append(character)
    return "".join(kept)


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _problems_of_json(value: Any, place: str, depth: int = 0) -> list[str]:
    if depth > _MAX_DEPTH:
        return [f"{place.partition('.')[0].partition('[')[0]}: nested deeper than {_MAX_DEPTH} levels"]
    if value is None or isinstance(value, str | bool | int):
        return []
    if isinstance(value, float):
        return [] if math.isfinite(value) else [f"{place}: JSON has no {value}"]
    if isinstance(value, dict):
        problems = [f"{place}: a name is {type(key).__name__}, not text" for key in value if not isinstance(key, str)]
        for key, item in value.items():
            problems += _problems_of_json(item, f"{place}.{key}", depth + 1)
        return problems
    if isinstance(value, list | tuple):
        return [
            problem
            for number, item in enumerate(value)
            for problem in _problems_of_json(item, f"{place}[{number}]", depth + 1)
        ]
    kind = type(value).__name__
    return [f"{place}: {kind} is no JSON value; pass text, a number, true, false, null, a list or a dictionary"]
