"""The guard: looks for secrets where others could read them, before anything starts.

What it looks at are texts that somebody wrote, or that go on a command line, into an environment or through the broker:
parameters, variables, arguments, and what else the message carried. A secret there stops the execution.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attune_tasks.errors import SecretExposedError
from attune_tasks.masking import Masker, is_maskable
from attune_tasks.masking.parts import parts_of
from attune_tasks.secret_values import Sealed

__all__ = ["Guard", "Texts"]

_SHORTEST_IN_OURS: Final = 8
"""Characters: HOME is /root, and a caller root@host, where a secret may be a user's name, which is `root`."""
_OWN_VARIABLES: Final = frozenset({"PATH"})


class Texts:
    """Texts to look at, each with its place, as an error calls it.

    Those which come from the worker or from Celery, and from nobody who could have put a secret there, are *ours*:
    values under 8 characters are not looked for in them.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        """Begin with none."""
        self.entries: list[tuple[str, str, str, bool]] = []
        """How its kind of place is called, the name there, the text, and whether it is ours."""

    def add(self, place: str, text: str, *, is_ours: bool = False) -> None:
        """Add one."""
        self.entries.append((place, "", text, is_ours))

    def add_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Add what stands in parameters, and their names."""
        for name, value in parameters.items():
            self.entries.append(("the name of a parameter", "", name, False))
            self._add_value("the parameter ", name, value)

    def add_variables(self, variables: Mapping[str, str]) -> None:
        """Add variables, and their names. PATH is ours."""
        for name, value in variables.items():
            self.entries += (
                ("the name of a variable", "", name, False),
                ("the variable ", name, value, name in _OWN_VARIABLES),
            )

    def add_message(self, carried: Mapping[str, Any], caller: str | None) -> None:
        """Add what a message carried beside parameters and variables: `carried`, by what it is called."""
        if caller:
            self.entries.append(("the caller's name in the message", "", caller, True))
        for name, value in carried.items():
            self._add_value("the message: ", name, value)

    def _add_value(self, kind: str, name: str, value: Any) -> None:
        """Add all texts in a JSON value, keys too; numbers as they are written; an object or list also as JSON."""
        if isinstance(value, str):
            self.entries.append((kind, name, value, False))
        elif isinstance(value, dict | list | tuple):
            self.entries.append((kind, name, json.dumps(value, ensure_ascii=False, default=str), False))
            self.entries += [(kind, name, text, False) for text in _texts_in(value)]
        elif value is not None and not isinstance(value, bool):
            self.entries.append((kind, name, str(value), False))


class Guard:
    """Knows the secrets of one execution. Nothing that shows it shows one of them."""

    __slots__ = ("_masker", "_parts", "_shortest")

    def __init__(self, secrets: Mapping[str, str], masker: Masker) -> None:
        """Look for the values of `secrets`, name to value, in all the forms that `masker`, which is theirs, knows."""
        parts = [(name, _parts_of(value)) for name, value in secrets.items()]
        self._parts = Sealed(parts)
        self._masker = masker
        self._shortest = min((len(part) for _, found in parts for part in found), default=0)
        """Characters. No form of a value is shorter than the value."""

    def check(self, texts: Texts) -> None:
        """Raise SecretExposedError, which names a secret and a place, where one stands in one of `texts`."""
        if not self._shortest:
            return
        entries = texts.entries
        # A secret has no NUL in it, so none is found across two texts.
        if self._holds_value("\0".join([text for _, _, text, _ in entries])):
            self._refuse(texts)
        # The encoded forms are made where a text is long enough for one; those that mask the output are the same.
        long_ones = [text for _, _, text, is_ours in entries if not is_ours and len(text) >= self._shortest]
        if long_ones and self._masker.names_in("\0".join(long_ones)):
            self._refuse(texts)

    def check_arguments(self, argv: Sequence[str], ours: Callable[[str], bool]) -> None:
        """Do the same for a command line; `ours` says of an argument whether it is ours, as the program itself is."""
        shortest = self._shortest
        if not shortest:
            return
        # Those of the built-in runtimes are all ours, and most often it ends here.
        foreign = any(len(text) >= shortest and not ours(text) for text in argv)
        if not foreign and not self._holds_value("\0".join(argv)):
            return
        texts = Texts()
        texts.add("the program's path", argv[0], is_ours=True)
        for number, text in enumerate(argv[1:], 1):
            texts.entries.append(("argument ", str(number), text, ours(text)))
        self.check(texts)

    def check_environment(self, env: Mapping[str, str]) -> None:
        """Do the same for a whole environment, of which all that is not ours has been looked at before."""
        if self._shortest and self._holds_value("\0".join(env.values())):
            texts = Texts()
            for name, value in env.items():
                texts.entries.append(("the variable ", name, value, True))
            self._refuse(texts)

    def _holds_value(self, text: str) -> bool:
        return any(part in text for _, parts in self._parts.open() for part in parts)

    def _refuse(self, texts: Texts) -> None:
        found = self._find(texts)
        if found is not None:
            name, place = found
            msg = (
                f"the secret {name} stands in {place}, where others can read it: nothing was started. Take it out"
                " there, let the action ask for it by its name, and change it if others can have seen it"
            )
            raise SecretExposedError(msg)

    def _find(self, texts: Texts) -> tuple[str, str] | None:
        """Give the secret and the place; names first, for they are quoted as the places of others."""
        for kind, where, text, is_ours in sorted(texts.entries, key=lambda entry: bool(entry[1])):
            for name, parts in self._parts.open():
                shortest = _SHORTEST_IN_OURS if is_ours else 0
                if any(part in text for part in parts if len(part) >= shortest):
                    return name, f"{kind}{where}"
            names = () if is_ours else sorted(self._masker.names_in(text))
            if names:
                return names[0], f"{kind}{where}"
        return None


def _parts_of(value: str) -> tuple[str, ...]:
    if "\n" in value or value[:1] in {"{", "["}:
        return tuple(dict.fromkeys(parts_of(value)))
    return (value,) if is_maskable(value) else ()  # the same, at once


def _texts_in(value: Any) -> list[str]:
    """Give the texts in a JSON value, keys too."""
    texts = []
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple):
            left += each
        elif isinstance(each, str):
            texts.append(each)
    return texts
