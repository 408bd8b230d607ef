"""Finds values in bytes, in every form that is masked and in some that are not: masking can't judge itself."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Final

from attune_tasks.leaks.surface import Found
from attune_tasks.masking import encodings_by_family, escapes_by_family
from attune_tasks.masking.parts import parts_of
from attune_tasks.masking.search import Search
from attune_tasks.masking.variants import Variants, all_variants

__all__ = ["ValueSeeker"]

_MASK: Final = "***"
_SHORTEST: Final = 8
"""Bytes of a form that is looked for: a shorter one would be found by chance in memory and files."""
_PARTS: Final = 64
"""Of a value, which are looked for in every form; further ones as they are. As many as masking knows."""
_ARMOUR: Final = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")
"""Lines that all keys and certificates have: they give nothing away, and stand in many a file."""


class ValueSeeker:
    """Seeks the values of executions' secrets."""

    def __init__(self) -> None:
        """Know none yet."""
        self._owners: dict[str, list[tuple[int, str]]] = {}
        self._short: set[str] = set()
        self._search = Search({})
        self._masked = 0, Search({})
        self.ignored: list[tuple[int, str]] = []
        """Execution and name of secrets too short to be told from chance, which are not looked for."""

    def add(self, execution_id: int, secrets: Mapping[str, str]) -> None:
        """Look for these, too, from now on; `secrets` are an execution's, name to value."""
        for name, value in secrets.items():
            if len(value.encode(errors="surrogateescape")) < _SHORTEST:
                self.ignored.append((execution_id, name))
                self._short.add(value)
                continue
            owners = self._owners.setdefault(value, [])
            if (execution_id, name) not in owners:
                owners.append((execution_id, name))
        variants: dict[str, Variants] = {}
        for number, value in enumerate(self._owners):
            for family, found in _forms(value).items():
                variants[f"{number} {family}"] = found
        # Replaced as a whole: another thread may be seeking.
        self._search = Search(variants)

    @property
    def longest(self) -> int:
        """Give how many bytes a form that is looked for covers at the most, with line breaks in it."""
        return self._search.longest

    def find(self, data: bytes) -> list[Found]:
        """Give what stands in `data`, each once."""
        names = sorted(self._search.names_in(data))
        values = list(self._owners)  # after the search: another thread may be adding some
        found = []
        for name in names:
            number, _, family = name.partition(" ")
            found += [Found(*owner, family) for owner in self._owners[values[int(number)]]]
        return found

    def mask(self, text: str) -> str:
        """Give `text` with ``***`` for each form of a value, and for those too short to be looked for."""
        data = text.encode(errors="surrogateescape")
        pieces, position = [], 0
        for run in self._search_to_mask().runs(data):
            pieces += [data[position : run.start], _MASK.encode()]
            position = run.end
        return b"".join([*pieces, data[position:]]).decode(errors="replace")

    def _search_to_mask(self) -> Search:
        """Give a search for all that is found, and for all that masking knows: chance does no harm there."""
        values = [*self._owners, *self._short]
        known, search = self._masked
        if known != len(values):  # none is ever taken out
            found = [each for value in values for each in (all_variants(value), *_forms(value).values())]
            exact = frozenset[bytes]().union(*(each.exact for each in found))
            search = Search({_MASK: Variants(exact, frozenset[bytes]().union(*(each.broken for each in found)))})
            self._masked = len(values), search
        return search


def _forms(value: str) -> dict[str, Variants]:
    exact: dict[str, set[bytes]] = {}
    broken: dict[str, set[bytes]] = {}
    for number, part in enumerate(dict.fromkeys([value, *parts_of(value)])):
        if _ARMOUR.fullmatch(part):
            continue
        if number >= _PARTS:
            exact["plain"].add(part.encode(errors="surrogateescape"))
            continue
        for family, form in _exact_forms(part):
            exact.setdefault(family, set()).add(form)
        for family, form in encodings_by_family(part.encode(errors="surrogateescape")):
            broken.setdefault(family, set()).add(form)
    return {
        family: Variants(
            frozenset(form for form in exact.get(family, ()) if len(form) >= _SHORTEST),
            frozenset(form for form in broken.get(family, ()) if len(form) >= _SHORTEST),
        )
        for family in (*exact, *broken)
    }


def _exact_forms(part: str) -> Iterator[tuple[str, bytes]]:
    for family, text in escapes_by_family(part):
        yield family, text.encode(errors="surrogateescape")
    data = part.encode(errors="surrogateescape")
    # What masking does not know.
    yield "reversed", data[::-1]
    yield "base32", base64.b32encode(data).rstrip(b"=")[:-1]
    yield "base85", base64.b85encode(data)[: len(data) // 4 * 5]
    yield "hex with separators", data.hex(":").encode()
    yield "hex with separators", data.hex(" ").encode()
    for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        yield name, part.encode(name, errors="surrogatepass")
